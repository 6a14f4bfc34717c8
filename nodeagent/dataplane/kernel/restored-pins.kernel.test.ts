import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { parsePrefix } from "@weft/proto/address.ts";
import type { ServicePlan } from "../dataplane.ts";
import { closeFd, detachLink, getPinned, mapMemory } from "./libbpf.ts";
import { dumpPinned } from "./dump-pinned.ts";
import { settingsLayout } from "./layout.ts";
import { isOurs } from "./pin-folder.ts";
import { kernelTestsSkipped } from "./testing/kernel-lab.ts";
import { clusterIp } from "./testing/plans.ts";
import { SocketStage } from "./testing/socket-stage.ts";

const waitMsMax = 60_000;
const backend = "127.0.0.2:28101";
const ranges = parsePrefix("127.0.0.0/8");
assert.ok(ranges !== undefined);
const web = clusterIp("a/web", "203.0.113.1", [backend]);
// So that packets are checked too.
const guarded: ServicePlan = {
  ...clusterIp("a/guarded", "203.0.113.3", [backend], { kind: "LoadBalancerIP", sourceRanges: [ranges] }),
  rejectAddresses: [],
};

describe("pins and links that somebody takes away", { skip: kernelTestsSkipped() }, () => {
  let stage: SocketStage;
  let bpffs: string;
  before(async () => {
    stage = await SocketStage.make();
    await stage.apply([web, guarded]);
    bpffs = path.dirname(path.dirname(stage.pinOf("active")));
  });
  after(() => stage[Symbol.asyncDispose]());

  const linkOf = (name: string): string => path.join(bpffs, "links", name);
  const answer = (): Promise<string | undefined> =>
    stage.answer("pod", { call: "tcp", address: "203.0.113.1", port: 80 });

  function detach(name: string): void {
    const link = getPinned(linkOf(name));
    assert.ok(link !== undefined, name);
    detachLink(link);
    closeFd(link);
  }

  /** What the audit says until all of it was said. */
  async function found(expected: readonly string[]): Promise<void> {
    const said: string[] = [];
    for (const deadlineMs = performance.now() + waitMsMax; said.length < expected.length;) {
      assert.ok(performance.now() < deadlineMs, `found only ${said.join(", ")}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
      for (const { map, kind, entry, failure } of stage.dataplane.audit(64).findings) {
        said.push([map, kind, entry, ...(failure === undefined ? [] : [failure])].join(" "));
      }
    }
    assert.deepEqual(said.toSorted(), expected.toSorted());
  }

  const cases: readonly (readonly [what: string, takeAway: () => void, found: readonly string[]])[] = [
    [
      "links are detached",
      () => ["connect4", "check_egress"].forEach(detach),
      ["links missing connect4", "links missing check_egress"],
    ],
    ["the pin of a link is removed", () => fs.unlinkSync(linkOf("connect4")), ["links missing connect4"]],
    ["the pin of a map is removed", () => fs.unlinkSync(stage.pinOf("frontends")), ["pins missing frontends"]],
  ];
  for (const [what, takeAway, expected] of cases) {
    it(`${what}: put back, named once, and served`, async () => {
      takeAway();
      await found(expected);
      assert.equal(await answer(), backend);
      assert.deepEqual(stage.dataplane.audit(10_000).findings, []);
    });
  }

  it("the settings of the programs are overwritten: written again", async () => {
    const fd = getPinned(stage.pinOf("settings"));
    assert.ok(fd !== undefined);
    const live = new Uint8Array(mapMemory(fd, settingsLayout.size, true));
    closeFd(fd);
    const written = live.slice();
    live.fill(7);
    await found(["settings differs the host's network namespace, or the port of probes"]);
    assert.deepEqual(live, written);
  });

  it("all pins are removed: all is put back, and found by who looks and who starts", async () => {
    const lines = dumpPinned(bpffs).length;
    for (const name of fs.readdirSync(bpffs)) fs.rmSync(path.join(bpffs, name), { recursive: true });
    const deadlineMs = performance.now() + waitMsMax;
    // Links that are not pinned any more go on serving for a moment.
    while (dumpPinned(bpffs).length !== lines) {
      assert.ok(performance.now() < deadlineMs, "pinned in vain");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(await answer(), backend);
    await stage.restartAgent([web, guarded]);
    assert.equal(await answer(), backend);
  });

  it("the bpf file system is gone: said once, nothing is left attached twice, and put back when it is there again", async () => {
    const links = (): number =>
      fs.readdirSync("/proc/self/fd").filter((fd) => {
        // The descriptor of this very look is gone.
        try {
          return fs.readlinkSync(path.join("/proc/self/fd", fd)).includes("bpf_link");
        } catch {
          return false;
        }
      }).length;
    stage.dataplane.audit(10_000);
    const linksBefore = links();
    execFileSync("mount", ["-t", "tmpfs", "weft-test", bpffs]);
    try {
      const gone = `--bpffs ${bpffs} is not on a bpf file system any more: mount it, and start this agent again`;
      await found([`pins missing ${bpffs} ${gone}`]);
      assert.equal(links(), linksBefore);
      assert.deepEqual(fs.readdirSync(bpffs).filter(isOurs), ["links"]);
      assert.equal(await answer(), backend);
    } finally {
      execFileSync("umount", [bpffs]);
    }
    detach("connect4");
    await found(["links missing connect4"]);
    assert.equal(await answer(), backend);
  });
});
