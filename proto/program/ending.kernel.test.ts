/** A program that looks a name up while no name server answers. Needs root, for a network and a resolv.conf of its own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";

const skip = process.getuid?.() === 0 ? false : "needs root";
/** The lookup takes longer: 5 times 30 s. */
const endLimitMs = 60_000;

const body = `
  import { createSocket } from "node:dgram";
  import { lookup } from "node:dns";
  import { once } from "node:events";
  import { runMain } from ${JSON.stringify(join(import.meta.dirname, "main.ts"))};
  runMain("weft-test", async (signal) => {
    const silent = createSocket("udp4").bind(53, "127.0.0.1");
    await once(silent, "listening");
    const asked = once(silent, "message");
    lookup("name.invalid", () => {});
    await asked;
    const aborted = once(signal, "abort");
    console.log("waiting");
    await aborted;
    return 0;
  });`;
const script = `
  ip link set lo up
  echo nameserver 127.0.0.1 >/run/resolv.conf
  echo options timeout:30 attempts:5 >>/run/resolv.conf
  mount --bind /run/resolv.conf /etc/resolv.conf
  exec "$@"`;

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(
    `a program that is asked to end by ${signal} does not wait for a name server that does not answer`,
    { skip },
    async () => {
      const own = ["--net", "--mount", "sh", "-ec", `mount -t tmpfs tmpfs /run\n${script}`, "sh"];
      const node = [process.execPath, "--input-type=module", "--eval", body];
      const child = spawn("unshare", [...own, ...node], { stdio: ["ignore", "pipe", "inherit"] });
      const timer = setTimeout(() => child.kill("SIGKILL"), endLimitMs);
      const ended = once(child, "exit");
      await Promise.race([once(child.stdout, "data"), ended]);
      child.kill(signal);
      assert.deepEqual(await ended, [null, signal]);
      clearTimeout(timer);
    },
  );
}
