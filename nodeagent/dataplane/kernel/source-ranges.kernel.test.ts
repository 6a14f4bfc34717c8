import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { parsePrefix, type Prefix } from "@weft/proto/address.ts";
import type { ServicePlan } from "../dataplane.ts";
import { kernelTestsSkipped } from "./testing/kernel-lab.ts";
import { bothProtocols, clusterIp, goneService } from "./testing/plans.ts";
import { SocketStage, type From } from "./testing/socket-stage.ts";

const sources = ["pod", "host"] as const;
const waitMs = 300;
const waitMsMax = 5_000;
const timedOut = "ABORT_ERR";

const prefixes = (...texts: readonly string[]): Prefix[] =>
  texts.map((text) => parsePrefix(text)).filter((prefix) => prefix !== undefined);

/** What is sent over loopback without bind() has 127.0.0.1 or ::1 as its source. */
function guarded(
  name: string,
  ip: string,
  ranges: readonly Prefix[] | undefined,
  targets: readonly string[] = ["127.0.0.2:28101"],
): ServicePlan {
  const plan = bothProtocols(clusterIp(name, ip, targets, { kind: "LoadBalancerIP", sourceRanges: ranges }));
  return { ...plan, rejectAddresses: [] };
}

describe("source ranges of load-balancer IPs", { skip: kernelTestsSkipped() }, () => {
  let stage: SocketStage;
  let sockets = 0;
  before(async () => {
    stage = await SocketStage.make();
  });
  after(() => stage[Symbol.asyncDispose]());

  /** A connect() that is expected to time out gets less time. */
  const tcpAnswer = (
    from: From,
    call: { readonly address: string; readonly port: number; readonly from?: string },
    expected: string,
  ): Promise<string | undefined> =>
    stage.answer(from, { call: "tcp", ...call, ...(expected === timedOut ? { waitMs } : {}) });
  const attachedBecomes = async (expected: boolean): Promise<void> => {
    for (let waitedMs = 0; waitedMs < waitMsMax && stage.isEgressAttached !== expected; waitedMs += 50) await delay(50);
    assert.equal(stage.isEgressAttached, expected, "whether packets are checked");
  };

  it("judges bound sources at once, others by their packets, from pods and from the node", async () => {
    const own = prefixes("127.0.0.0/30", "10.0.0.0/8");
    const other = prefixes("127.0.0.8/29", "fd00::/64");
    await stage.apply([
      guarded("a/own", "203.0.113.10", own),
      guarded("a/other", "203.0.113.11", other),
      guarded("a/own6", "2001:db8::10", prefixes("::1/128"), ["[::1]:28103"]),
      guarded("a/other6", "2001:db8::11", prefixes("fd00:1::/64"), ["[::1]:28103"]),
    ]);
    assert.ok(stage.isEgressAttached, "packets are checked from the first moment");
    const four = "127.0.0.2:28101";
    const six = "::1:28103";
    const blocked = "EHOSTUNREACH";
    const cases: readonly (readonly [string, string | undefined, string, string])[] = [
      ["203.0.113.10", undefined, four, four],
      ["203.0.113.10", "127.0.0.1", four, four],
      ["203.0.113.10", "127.0.0.9", blocked, blocked],
      ["203.0.113.11", undefined, timedOut, "EPERM"],
      ["203.0.113.11", "127.0.0.1", blocked, blocked],
      ["203.0.113.11", "127.0.0.9", four, four],
      ["::ffff:203.0.113.10", undefined, four, four],
      ["::ffff:203.0.113.11", undefined, timedOut, "EPERM"],
      ["2001:db8::10", undefined, six, six],
      ["2001:db8::10", "::1", six, six],
      ["2001:db8::11", undefined, timedOut, "EPERM"],
      ["2001:db8::11", "::1", blocked, blocked],
    ];
    for (const from of sources) {
      for (const [address, source, tcp, udp] of cases) {
        const bound = source === undefined ? {} : { from: source };
        const what = `${from} from ${source ?? "anywhere"} to ${address}`;
        const call = { address, port: 80, ...bound };
        assert.equal(await tcpAnswer(from, call, tcp), tcp, `${what}, TCP`);
        assert.equal(await stage.answer(from, { call: "udpConnected", ...call }), udp, `${what}, connected UDP`);
        for (let i = 0; i < 2; i++) {
          const seen = await stage.answer(from, { call: "udp", socket: sockets + i, ...call });
          assert.equal(seen, udp, `${what}, UDP`);
        }
        sockets += 2;
      }
    }
  });

  it("checks sources before endpoints where the source is known", async () => {
    const plan = guarded("a/empty", "203.0.113.12", prefixes("10.0.0.0/8"), []);
    await stage.apply([plan]);
    const call = { call: "tcp", address: "203.0.113.12", port: 80 } as const;
    assert.equal(await stage.answer("pod", { ...call, from: "127.0.0.1" }), "EHOSTUNREACH");
  });

  it("changes the sources of a service with its revision, and leaves other frontends alone", async () => {
    const ip = "203.0.113.13";
    const unbound = { address: ip, port: 80 };
    const call = { ...unbound, from: "127.0.0.5" };
    const steps: readonly (readonly [readonly Prefix[] | undefined, string, string])[] = [
      [prefixes("127.0.0.5/32"), "127.0.0.2:28101", timedOut],
      [prefixes("127.0.0.1/32"), "EHOSTUNREACH", "127.0.0.2:28101"],
      [undefined, "127.0.0.2:28101", "127.0.0.2:28101"],
      [prefixes("127.0.0.4/30", "127.0.0.0/30"), "127.0.0.2:28101", "127.0.0.2:28101"],
      [prefixes("192.0.2.0/24"), "EHOSTUNREACH", timedOut],
    ];
    const open = clusterIp("a/steps", "172.30.7.1", ["127.0.0.3:28101"]);
    for (const [i, [ranges, bound, other]] of steps.entries()) {
      const plan = guarded("a/steps", ip, ranges);
      await stage.apply([{ ...plan, frontends: [...plan.frontends, ...open.frontends] }]);
      if (i === 3) await stage.restartAgent([plan]);
      assert.equal(await tcpAnswer("pod", call, bound), bound, `step ${i}, bound`);
      assert.equal(await tcpAnswer("pod", unbound, other), other, `step ${i}`);
      const clusterIpAnswer = await stage.answer("pod", { call: "tcp", address: "172.30.7.1", port: 80 });
      if (i !== 3) assert.equal(clusterIpAnswer, "127.0.0.3:28101", `step ${i}, its ClusterIP`);
    }
  });

  it("checks packets only while a guarded frontend exists, also over a restart and maps of other sizes", async () => {
    await stage.restartAgent([]);
    await attachedBecomes(false);
    const plan = guarded("a/kept", "203.0.113.14", prefixes("127.0.0.9/32"));
    await stage.apply([plan]);
    const call = { address: "203.0.113.14", port: 80 };
    for (const limits of [undefined, { frontends: 128, backends: 1_024, services: 64 }]) {
      await stage.restartAgent([plan], limits === undefined ? {} : { limits });
      assert.ok(stage.isEgressAttached);
      assert.equal(await tcpAnswer("pod", call, timedOut), timedOut);
      const allowed = "127.0.0.2:28101";
      assert.equal(await tcpAnswer("pod", { ...call, from: "127.0.0.9" }, allowed), allowed);
    }
    await stage.apply([goneService("a/kept")]);
    await attachedBecomes(false);
  });
});
