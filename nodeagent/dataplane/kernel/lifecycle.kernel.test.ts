import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { after, before as setUp, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parsePrefix } from "@weft/proto/address.ts";
import { planLines } from "../../plan/plan-line.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { cleanupPinned } from "./cleanup-pinned.ts";
import { dumpPinned, readPinned } from "./dump-pinned.ts";
import { roundOfPinned } from "./earlier-maps.ts";
import { KernelDataplane } from "./kernel-dataplane.ts";
import { kernelTestsSkipped, makeKernelLab, type KernelLab, type Place } from "./testing/kernel-lab.ts";
import { addressOf, bothProtocols, clusterIp, goneService, ignore, roundOf } from "./testing/plans.ts";
import { plansAt } from "./testing/writer-process.ts";
import { isServicesFolder } from "./pin-folder.ts";
import { startPod } from "./testing/pod.ts";

const limits = { frontends: 64, backends: 64, services: 16 };
const writer = fileURLToPath(new URL("testing/writer-process.ts", import.meta.url));
const kills = Number(process.env["WEFT_KILLS"] ?? 8);

describe("kernel dataplane over its life", { skip: kernelTestsSkipped() }, () => {
  let lab: KernelLab;
  setUp(() => {
    lab = makeKernelLab();
  });
  after(() => lab[Symbol.dispose]());

  const lines = (of: Parameters<typeof planLines>[0]): string => planLines(of).join("\n");
  const startWriter = ({ bpffs, cgroup }: Place): ChildProcess =>
    spawn(process.execPath, [writer, bpffs, cgroup], { stdio: ["ignore", "pipe", "inherit"] });
  const kill = async (child: ChildProcess): Promise<void> => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };

  it("goes on where a killed agent ended: whole, never older, and dumps the same from the pins", async () => {
    const place = lab.place();
    let last = 0;
    for (let i = 0; i < kills; i++) {
      const child = startWriter(place);
      assert.ok(child.stdout);
      await once(child.stdout, "data");
      await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 60));
      const whileRunning = lines(dumpPinned(place.bpffs));
      await kill(child);
      const pinned = lines(dumpPinned(place.bpffs));
      await using dataplane = new KernelDataplane({ ...place, limits });
      const { cursor } = await dataplane.open();
      assert.ok(cursor !== undefined && cursor.revision > last, `revision ${cursor?.revision} after ${last}`);
      last = cursor.revision;
      const expected = lines(plansAt(last).flatMap(({ frontends }) => frontends));
      assert.equal(pinned, expected, "the pins of the killed agent");
      assert.equal(lines(dataplane.dump()), expected, "after adopting them");
      assert.match(whileRunning, /^(\{.*"service":"a\/s[01]:.*\}\n?|\{.*"service":"a\/rare:.*\}\n?)+$/);
      const { failures } = await dataplane.replaceAll(roundOf(++last, plansAt(last)), ignore);
      assert.deepEqual(failures, []);
      assert.equal(lines(dumpPinned(place.bpffs)), lines(plansAt(last).flatMap(({ frontends }) => frontends)));
    }
    cleanupPinned(place);
  });

  it("keeps serving when the agent ends, in new programs after a restart, and no longer after a cleanup", async () => {
    const place = lab.place();
    using pod = await startPod(place.cgroup);
    await pod.call({ call: "listen", address: "127.0.0.2", port: 8001 });
    const answer = async (): Promise<string | undefined> =>
      (await pod.call({ call: "tcp", address: "172.30.0.1", port: 80 })).answer;
    const plans = [bothProtocols(clusterIp("a/web", "172.30.0.1", ["127.0.0.2:8001"]))];
    {
      await using dataplane = new KernelDataplane({ ...place, limits });
      await dataplane.open();
      await dataplane.apply(roundOf(1, plans), ignore);
      assert.equal(await answer(), "127.0.0.2:8001");
    }
    assert.equal(await answer(), "127.0.0.2:8001", "without an agent");
    {
      await using dataplane = new KernelDataplane({ ...place, limits });
      assert.equal((await dataplane.open()).cursor?.revision, 1);
      assert.equal(await answer(), "127.0.0.2:8001", "after a restart");
    }
    assert.ok(cleanupPinned(place).length > 0);
    assert.equal(fs.existsSync(place.bpffs), false);
    assert.deepEqual(cleanupPinned(place), [], "a second time");
    assert.equal(await answer(), undefined, "after the cleanup");
  });

  it("moves what is live to maps of other sizes", async () => {
    const place = lab.place();
    const passed = { ...goneService("a/passed"), passAddresses: [addressOf("172.30.0.3")] };
    const plans = [...plansAt(3), passed];
    const serviceCidrs = ["172.30.0.0/16"].map((text) => parsePrefix(text)).filter((prefix) => prefix !== undefined);
    {
      await using dataplane = new KernelDataplane({ ...place, limits });
      await dataplane.open();
      await dataplane.apply(roundOf(3, plans, { serviceCidrs }), ignore);
    }
    const before = lines(dumpPinned(place.bpffs));
    {
      await using dataplane = new KernelDataplane({ ...place, limits: { ...limits, backends: 128 } });
      assert.equal((await dataplane.open()).cursor?.revision, 3);
      assert.equal(lines(dataplane.dump()), before);
      assert.equal(lines(dumpPinned(place.bpffs)), before);
      const pinned = readPinned(place.bpffs);
      assert.ok(pinned);
      const moved = roundOfPinned(pinned);
      const of = moved.services.find(({ service }) => service === "");
      assert.deepEqual(of?.rejectAddresses.toSorted(), ["172.30.0.1", "172.30.0.2", "fd00::9"]);
      assert.deepEqual(of?.passAddresses, ["172.30.0.3"]);
      assert.deepEqual(moved.serviceCidrs, serviceCidrs);
      const { failures } = await dataplane.replaceAll(roundOf(4, plans), ignore);
      assert.deepEqual(failures, []);
    }
    assert.equal(
      fs.readdirSync(place.bpffs).filter((name) => isServicesFolder(name)).length,
      1,
      "the old maps are gone",
    );
    cleanupPinned(place);
  });

  it("refuses a second agent, and a cleanup while one runs, naming the pid", async () => {
    const place = lab.place();
    const child = startWriter(place);
    assert.ok(child.stdout);
    await once(child.stdout, "data");
    const names = (error: unknown): boolean =>
      error instanceof ProgramError && error.code === "in-use" && error.message.includes(`pid ${child.pid}`);
    await assert.rejects(new KernelDataplane({ ...place, limits }).open(), names);
    assert.throws(() => cleanupPinned(place), names);
    await kill(child);
    cleanupPinned(place);
  });

  it("says what is wrong with a folder, and does not touch it", async () => {
    const { bpffs, cgroup } = lab.place();
    const cases = [
      [{ bpffs: "/tmp/weft-no-bpffs", cgroup }, /\/tmp is not on a bpf file system/],
      [{ bpffs, cgroup: "/tmp" }, /not a cgroup v2 folder/],
      [{ bpffs, cgroup: `${cgroup}/none` }, /no such folder/],
    ] as const;
    for (const [options, message] of cases) {
      await assert.rejects(new KernelDataplane(options).open(), (error) => {
        assert.ok(error instanceof ProgramError && error.remedy !== "", String(error));
        assert.match(error.message, message);
        return true;
      });
    }
    assert.equal(fs.existsSync("/tmp/weft-no-bpffs"), false);
    assert.throws(() => dumpPinned(`${bpffs}/none`), /no such folder/);
    assert.deepEqual(cleanupPinned({ bpffs: `${bpffs}/none` }), []);
  });
});
