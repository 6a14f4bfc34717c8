import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import type { ServicePlan } from "../dataplane.ts";
import { kernelTestsSkipped } from "./testing/kernel-lab.ts";
import { clusterIp } from "./testing/plans.ts";
import { SocketStage, type From } from "./testing/socket-stage.ts";

const three = ["127.0.0.2:28101", "127.0.0.2:28102", "127.0.0.3:28101"];
const ipsOf = (base: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${base}.${i + 1}`);

describe("session affinity", { skip: kernelTestsSkipped() }, () => {
  let stage: SocketStage;
  before(async () => {
    stage = await SocketStage.make();
  });
  after(() => stage[Symbol.asyncDispose]());

  const sticky = (name: string, ip: string, targets: readonly string[], affinitySeconds = 600): ServicePlan =>
    clusterIp(name, ip, targets, { affinitySeconds });
  const tcp = (from: From, address: string, port = 80) => stage.answer(from, { call: "tcp", address, port });
  const udp = (from: From, socket: number, address: string) =>
    stage.answer(from, { call: "udp", socket, address, port: 80 });
  const each = async (from: From, ips: readonly string[]): Promise<(string | undefined)[]> => {
    const answers: (string | undefined)[] = [];
    for (const ip of ips) answers.push(await tcp(from, ip));
    return answers;
  };

  it("keeps a client's backend over all frontends of a service port, by pod and for the node", async () => {
    const main = sticky("a/web", "172.30.2.1", three);
    const [frontend] = main.frontends;
    assert.ok(frontend);
    const node = clusterIp("a/web", "192.0.2.11", three, { affinitySeconds: 600, kind: "NodePort", port: 30_090 });
    await stage.apply([{ ...main, frontends: [frontend, ...node.frontends] }]);
    for (const from of ["pod", "other pod", "host"] as const) {
      const first = await tcp(from, "172.30.2.1");
      assert.ok(first !== undefined && three.includes(first), first);
      for (let i = 0; i < 20; i++) {
        assert.equal(await tcp(from, "172.30.2.1"), first, from);
        assert.equal(await tcp(from, "192.0.2.11", 30_090), first, from);
      }
    }
  });

  it("chooses for each client and each service port by itself", async () => {
    const ips = ipsOf("172.30.3", 20);
    await stage.apply(ips.map((ip, i) => sticky(`a/many${i}`, ip, three)));
    const [pod, other, host] = [await each("pod", ips), await each("other pod", ips), await each("host", ips)];
    assert.deepEqual(await each("pod", ips), pod);
    for (const [what, answers] of Object.entries({ pod, other, host })) {
      assert.equal(new Set(answers).size, three.length, `${what}: services differ`);
    }
    assert.notDeepEqual(pod, other);
    assert.notDeepEqual(pod, host);
  });

  it("holds for every UDP socket of a client, and leaves a socket its backend", async () => {
    const plan = clusterIp("a/dns", "172.30.2.3", three, { affinitySeconds: 600, protocol: "UDP" });
    await stage.apply([plan]);
    const first = await udp("pod", 100, "172.30.2.3");
    for (let socket = 101; socket < 120; socket++) assert.equal(await udp("pod", socket, "172.30.2.3"), first);
    const connected = await stage.answer("pod", { call: "udpConnected", address: "172.30.2.3", port: 80 });
    assert.equal(connected, first);
    const without = three.filter((target) => target !== first);
    await stage.apply([clusterIp("a/dns", "172.30.2.3", without, { affinitySeconds: 600, protocol: "UDP" })]);
    const next = await udp("pod", 100, "172.30.2.3");
    assert.ok(next !== undefined && without.includes(next), next);
    for (let socket = 100; socket < 120; socket++) assert.equal(await udp("pod", socket, "172.30.2.3"), next);
    await stage.apply([plan]);
    for (let socket = 100; socket < 120; socket++) assert.equal(await udp("pod", socket, "172.30.2.3"), next);
  });

  it("survives changes of the set and restarts of the agent, and follows to a live backend", async () => {
    const ips = ipsOf("172.30.4", 10);
    const plansWith = (targets: readonly string[]): ServicePlan[] =>
      ips.map((ip, i) => sticky(`a/live${i}`, ip, targets));
    await stage.apply(plansWith(three));
    const first = await each("pod", ips);
    await stage.apply(plansWith([...three, "127.0.0.4:9"]));
    assert.deepEqual(await each("pod", ips), first, "after a backend more");
    await stage.restartAgent(plansWith(three));
    assert.deepEqual(await each("pod", ips), first, "after a restart");
    await stage.restartAgent(plansWith(three), { limits: { frontends: 128, backends: 1_024, services: 64 } });
    assert.deepEqual(await each("pod", ips), first, "in maps of other sizes");
    await stage.apply(plansWith(three.slice(1)));
    const followed = await each("pod", ips);
    for (const [i, answer] of followed.entries()) {
      if (first[i] !== three[0]) assert.equal(answer, first[i], "its own backend is live");
      else assert.ok(answer !== undefined && three.slice(1).includes(answer), answer);
    }
    assert.deepEqual(await each("pod", ips), followed);
    await stage.apply(plansWith(three));
    assert.deepEqual(await each("pod", ips), followed, "the old backend is back");
  });

  it("ends its time after the last connection", async () => {
    const ips = ipsOf("172.30.5", 20);
    await stage.apply(ips.map((ip, i) => sticky(`a/short${i}`, ip, three, 2)));
    const first = await each("pod", ips);
    for (let i = 0; i < 2; i++) {
      await delay(1_200);
      assert.deepEqual(await each("pod", ips), first, "each connection starts it again");
    }
    await delay(2_300);
    assert.notDeepEqual(await each("pod", ips), first);
  });

  it("can be switched on and off", async () => {
    const ip = "172.30.2.6";
    const seen = async (): Promise<number> =>
      new Set(
        await each(
          "pod",
          Array.from({ length: 40 }, () => ip),
        ),
      ).size;
    await stage.apply([sticky("a/switched", ip, three, 0)]);
    assert.equal(await seen(), three.length);
    await stage.apply([sticky("a/switched", ip, three)]);
    assert.equal(await seen(), 1);
    await stage.apply([sticky("a/switched", ip, three, 0)]);
    assert.equal(await seen(), three.length);
  });

  it("is held by family", async () => {
    const six = ["[::1]:28103", "[::1]:28104"];
    const plans = ipsOf("172.30.6", 12).map((ip, i) => {
      const four = sticky(`a/dual${i}`, ip, three);
      const other = sticky(`a/dual${i}`, `fd00::6:${i + 1}`, six);
      return { ...four, frontends: [...four.frontends, ...other.frontends] };
    });
    await stage.apply(plans);
    for (const { frontends } of plans) {
      for (const { address } of frontends) {
        const first = await tcp("pod", address);
        for (let i = 0; i < 5; i++) assert.equal(await tcp("pod", address), first, address);
      }
    }
  });
});
