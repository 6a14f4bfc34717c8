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
    console.log("asked");
    switch (process.argv[1]) {
      case "ends": return 0;
      case "fails": throw new Error("interrupted");
      case "goes on": return await new Promise(() => setInterval(() => {}, 60_000));
    }
  });`;
const script = `
  ip link set lo up
  echo nameserver 127.0.0.1 >/run/resolv.conf
  echo options timeout:30 attempts:5 >>/run/resolv.conf
  mount --bind /run/resolv.conf /etc/resolv.conf
  exec "$@"`;

for (const [what, signals] of [
  ["ends", ["SIGTERM"]],
  ["ends", ["SIGINT"]],
  ["fails", ["SIGINT"]],
  ["goes on", ["SIGINT", "SIGTERM"]],
] as const) {
  test(
    `a program that ${what} when it is asked to by ${signals.join(" and ")} does not wait for a name server that does not answer`,
    { skip },
    async () => {
      const own = ["--net", "--mount", "sh", "-ec", `mount -t tmpfs tmpfs /run\n${script}`, "sh"];
      const node = [process.execPath, "--input-type=module", "--eval", body, what];
      const child = spawn("unshare", [...own, ...node], { stdio: ["ignore", "pipe", "ignore"] });
      const timer = setTimeout(() => child.kill("SIGKILL"), endLimitMs);
      const ended = once(child, "exit");
      for (const signal of signals) {
        await Promise.race([once(child.stdout, "data"), ended]);
        child.kill(signal);
      }
      assert.deepEqual(await ended, [null, signals.at(-1)]);
      clearTimeout(timer);
    },
  );
}
