import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { after, afterEach, before, describe, it } from "node:test";
import type { ServicePlan } from "../dataplane.ts";
import { kernelTestsSkipped } from "./testing/kernel-lab.ts";
import { clusterIp, goneService } from "./testing/plans.ts";
import { SocketStage, type From } from "./testing/socket-stage.ts";

const sources = ["pod", "host"] as const;
const [first, second, third] = ["127.0.0.2:28101", "127.0.0.2:28102", "127.0.0.3:28101"] as const;
const waitMsMax = 5_000;

describe("flows that exist when their backend leaves", { skip: kernelTestsSkipped() }, () => {
  let stage: SocketStage;
  const held: (readonly [From, number])[] = [];
  before(async () => {
    stage = await SocketStage.make();
  });
  afterEach(async () => {
    for (const [from, socket] of held.splice(0)) await stage.see(from, { call: "release", socket });
    await attachedBecomes(false);
  });
  after(() => stage[Symbol.asyncDispose]());

  const plan = (name: string, ip: string, targets: readonly string[], protocol: "TCP" | "UDP" = "UDP"): ServicePlan =>
    clusterIp(name, ip, targets, { protocol });
  const hold = (from: From, socket: number, address: string, protocol: "TCP" | "UDP" = "UDP", port = 80) => {
    if (!held.some(([other, number]) => other === from && number === socket)) held.push([from, socket]);
    return stage.answer(from, { call: "hold", protocol, socket, address, port });
  };
  const attachedBecomes = async (expected: boolean): Promise<void> => {
    for (let waitedMs = 0; waitedMs < waitMsMax && stage.isEgressAttached !== expected; waitedMs += 50) await delay(50);
    assert.equal(stage.isEgressAttached, expected, "whether packets are checked");
  };

  it("keeps established TCP connections", async () => {
    await stage.apply([plan("a/tcp", "172.30.8.1", [first], "TCP")]);
    for (const from of sources) assert.equal(await hold(from, 1, "172.30.8.1", "TCP"), first);
    for (const next of [plan("a/tcp", "172.30.8.1", [second], "TCP"), goneService("a/tcp")]) {
      await stage.apply([next]);
      for (const from of sources) assert.equal(await hold(from, 1, "172.30.8.1", "TCP"), first, from);
    }
  });

  it("ends connected UDP sockets whose backend left with EPERM at the next send, and no others", async () => {
    const six = ["[::1]:28103", "[::1]:28104"] as const;
    await stage.apply([
      plan("a/one", "172.30.8.2", [first]),
      plan("a/six", "fd00::8:2", [six[0]]),
      plan("a/stays", "172.30.8.3", [first, second]),
    ]);
    const direct = { address: "127.0.0.2", port: 28_101 };
    const stays = new Map<From, string | undefined>();
    for (const from of sources) {
      assert.equal(await hold(from, 10, "172.30.8.2"), first);
      assert.equal(await hold(from, 11, "::ffff:172.30.8.2"), first);
      assert.equal(await hold(from, 12, "fd00::8:2"), "::1:28103");
      stays.set(from, await hold(from, 13, "172.30.8.3"));
      assert.equal(await hold(from, 14, direct.address, "UDP", direct.port), first);
    }
    assert.equal(stage.isEgressAttached, false, "nothing left yet");
    await stage.apply([
      plan("a/one", "172.30.8.2", [third]),
      plan("a/six", "fd00::8:2", [six[1]]),
      plan("a/stays", "172.30.8.3", [first, second, third]),
    ]);
    assert.ok(stage.isEgressAttached);
    const check = async (): Promise<void> => {
      for (const from of sources) {
        for (const socket of [10, 11, 12])
          assert.equal(await hold(from, socket, ""), "EPERM", `${from}, socket ${socket}`);
        assert.equal(await hold(from, 13, ""), stays.get(from), "its backend is eligible");
        assert.equal(await hold(from, 14, ""), first, "it went to the backend itself");
        assert.equal(await hold(from, 15, "172.30.8.2"), third, "a new one");
      }
    };
    await check();
    await stage.restartAgent([
      plan("a/one", "172.30.8.2", [third]),
      plan("a/six", "fd00::8:2", [six[1]]),
      plan("a/stays", "172.30.8.3", [first, second, third]),
    ]);
    await delay(1_100);
    await check();
    await stage.apply([plan("a/one", "172.30.8.2", [first, third])]);
    for (const from of sources) assert.equal(await hold(from, 10, ""), first, "its backend is back");
  });

  it("ends them when the service is gone or refuses", async () => {
    await stage.apply([plan("a/gone", "172.30.8.4", [first]), plan("a/empty", "172.30.8.5", [first])]);
    assert.equal(await hold("pod", 20, "172.30.8.4"), first);
    assert.equal(await hold("pod", 21, "172.30.8.5"), first);
    await stage.apply([goneService("a/gone"), plan("a/empty", "172.30.8.5", [])]);
    assert.equal(await hold("pod", 20, ""), "EPERM");
    assert.equal(await hold("pod", 21, ""), "EPERM");
  });

  it("never touches sockets of eligible backends, over changes and restarts of the agent", async () => {
    const ips = Array.from({ length: 10 }, (_, i) => `172.30.9.${i + 1}`);
    const plans = (targets: readonly string[]): ServicePlan[] => ips.map((ip, i) => plan(`a/s${i}`, ip, targets));
    await stage.apply(plans([first, second, third]));
    const answers: (string | undefined)[] = [];
    for (const [i, ip] of ips.entries()) answers.push(await hold("pod", 30 + i, ip));
    const check = async (gone: readonly string[]): Promise<void> => {
      for (const [i, answer] of answers.entries()) {
        assert.equal(await hold("pod", 30 + i, ""), gone.includes(answer ?? "") ? "EPERM" : answer);
      }
    };
    await stage.apply(plans([first, second]));
    await check([third]);
    await stage.apply(plans([first, second, third]));
    await check([]);
    await attachedBecomes(false);
    await stage.apply(plans([first, second]));
    await stage.restartAgent(plans([first, second]));
    await check([third]);
    await stage.restartAgent(plans([first, second]), { limits: { frontends: 128, backends: 1_024, services: 64 } });
    await check([third]);
    await stage.apply(plans([second, third]));
    await check([first]);
    await stage.apply(plans([first, second, third]));
    await check([]);
  });
});
