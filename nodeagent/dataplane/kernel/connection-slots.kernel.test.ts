import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { after, afterEach, before, describe, it } from "node:test";
import { parsePrefix } from "@weft/proto/address.ts";
import { connectionSlotLayout, connectionSlotsMax } from "./layout.ts";
import { getPinned, mapMemory } from "./libbpf.ts";
import { kernelTestsSkipped } from "./testing/kernel-lab.ts";
import { clusterIp } from "./testing/plans.ts";
import { SocketStage } from "./testing/socket-stage.ts";

const sources = ["pod", "other pod", "host"] as const;
const backend = "127.0.0.2:28101";
const direct = { address: "127.0.0.2", port: 28_101 };
const waitMsMax = 30_000;
/** Of no socket: cookies count up from 1, and in interrupts down from the top. */
const strangerCookie = 1n << 62n;
const ownerStride = connectionSlotLayout.size / 8;

describe("slots of TCP connections", { skip: kernelTestsSkipped() }, () => {
  let stage: SocketStage;
  let owners: BigUint64Array;
  before(async () => {
    stage = await SocketStage.make();
    const fd = getPinned(stage.flowPinOf("connection_slots"));
    assert.ok(fd !== undefined);
    owners = new BigUint64Array(mapMemory(fd, connectionSlotsMax * connectionSlotLayout.size, true));
    const [loopback] = [parsePrefix("127.0.0.0/8")].filter((prefix) => prefix !== undefined);
    assert.ok(loopback !== undefined);
    await stage.apply([
      ...ips.map((ip, i) => clusterIp(`a/s${i}`, ip, [backend])),
      clusterIp("a/six", "fd00::9:1", ["[::1]:28103"]),
      clusterIp("a/guarded", guarded, [backend], { kind: "LoadBalancerIP", sourceRanges: [loopback] }),
    ]);
  });
  afterEach(() => setAll(strangerCookie, 0n));
  after(() => stage[Symbol.asyncDispose]());

  const ips = Array.from({ length: 8 }, (_, i) => `172.30.11.${i + 1}`);
  const guarded = "203.0.113.77";

  const setAll = (from: bigint, to: bigint): void => {
    for (let i = 0; i < owners.length; i += ownerStride) if (owners[i] === from) owners[i] = to;
  };
  const taken = (): number => {
    let count = 0;
    for (let i = 0; i < owners.length; i += ownerStride) if (owners[i] !== 0n && owners[i] !== strangerCookie) count++;
    return count;
  };
  const takenBecomes = async (expected: number): Promise<void> => {
    for (const limit = performance.now() + waitMsMax; taken() !== expected && performance.now() < limit;)
      await delay(20);
    assert.equal(taken(), expected, "slots of open sockets");
  };
  const seenPeers = async (): Promise<void> => {
    const calls = sources.flatMap((from) =>
      Array.from({ length: 60 }, async (_, i) => {
        const ip = i % 10 === 9 ? "fd00::9:1" : (ips[i % ips.length] ?? "");
        const { from: peer } = await stage.see(from, { call: "tcp", address: ip, port: 80 });
        assert.equal(peer, ip.includes(":") ? `[${ip}]:80` : `${ip}:80`, from);
      }),
    );
    await Promise.all(calls);
  };
  const reconnected = async (): Promise<void> => {
    const [one, other] = [ips[0] ?? "", ips[1] ?? ""].map((address) => ({ address, port: 80 }));
    assert.ok(one !== undefined && other !== undefined);
    const judged = { address: guarded, port: 80 };
    // All lead to the same backend: what a socket asked for before would show.
    const targets = [one, direct, other, one, judged, one, direct, judged, direct];
    for (const from of sources) {
      const { peers, error } = await stage.see(from, { call: "tcpReconnect", targets });
      assert.equal(error, undefined);
      assert.deepEqual(
        peers,
        targets.map(({ address, port }) => `${address}:${port}`),
        from,
      );
    }
  };

  it("has one while a socket is open, and only one of a service", async () => {
    await takenBecomes(0);
    for (const from of sources) {
      for (const [i, address] of ips.entries())
        await stage.answer(from, { call: "hold", protocol: "TCP", socket: i, address, port: 80 });
      await stage.answer(from, { call: "hold", protocol: "TCP", socket: 90, ...direct });
      await stage.answer(from, { call: "hold", protocol: "UDP", socket: 91, address: ips[0] ?? "", port: 80 });
    }
    assert.equal(taken(), sources.length * ips.length);
    for (const from of sources) {
      for (const socket of [...ips.keys(), 90, 91]) await stage.see(from, { call: "release", socket });
    }
    await takenBecomes(0);
  });

  it("shows the frontend that was asked for, of many sockets at once", async () => {
    await seenPeers();
    await takenBecomes(0);
  });

  it("shows what a socket asked for last", async () => {
    await reconnected();
    await takenBecomes(0);
  });

  it("leaves slots of others alone: then the socket itself remembers", async () => {
    setAll(0n, strangerCookie);
    await seenPeers();
    await reconnected();
    assert.ok(owners.every((owner, i) => i % ownerStride !== 0 || owner === strangerCookie));
  });

  it("has none for a connection whose packets have to be checked", async () => {
    const hold = { call: "hold", protocol: "TCP", socket: 1, address: guarded, port: 80 } as const;
    assert.equal(await stage.answer("pod", hold), backend);
    assert.equal(taken(), 0);
    await stage.see("pod", { call: "release", socket: 1 });
  });
});
