import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { compareText, parsePrefix } from "@weft/proto/address.ts";
import type { ServicePlan } from "../dataplane.ts";
import { KernelDataplane } from "./kernel-dataplane.ts";
import { kernelTestsSkipped, makeKernelLab, type KernelLab } from "./testing/kernel-lab.ts";
import { bothProtocols, clusterIp, goneService, ignore, roundOf } from "./testing/plans.ts";
import { startPod, type Pod, type PodCall, type Seen } from "./testing/pod.ts";

const limits = { frontends: 256, backends: 1_024, services: 64 };
const atOnceMs = 500;

describe("sockets through the kernel dataplane", { skip: kernelTestsSkipped() }, () => {
  let lab: KernelLab;
  let dataplane: KernelDataplane;
  let pod: Pod;
  let revision = 0;

  before(async () => {
    lab = makeKernelLab();
    const place = lab.place();
    dataplane = new KernelDataplane({ ...place, limits });
    await dataplane.open();
    pod = await startPod(place.cgroup);
    for (const [address, port] of backends) await pod.call({ call: "listen", address, port });
  });
  after(async () => {
    pod[Symbol.dispose]();
    await dataplane[Symbol.asyncDispose]();
    await new Promise((resolve) => setTimeout(resolve, 50));
    lab[Symbol.dispose]();
  });

  const apply = async (...services: ServicePlan[]): Promise<void> => {
    const { failures } = await dataplane.apply(roundOf(++revision, services), ignore);
    assert.deepEqual(failures, []);
  };
  const see = async (call: PodCall): Promise<Omit<Seen, "ms">> => {
    const { ms, ...seen } = await pod.call(call);
    if (seen.error !== undefined) assert.ok((ms ?? Infinity) < atOnceMs, `${seen.error} after ${ms} ms`);
    return seen;
  };

  it("forwards every kind of call, and the application sees the frontend", async () => {
    await apply(
      bothProtocols(clusterIp("a/four", "172.30.0.1", ["127.0.0.2:8001"])),
      bothProtocols(clusterIp("a/six", "fd00::1", ["[fd00:1::1]:8001"])),
    );
    const four = "127.0.0.2:8001";
    const six = "fd00:1::1:8001";
    const cases: readonly [PodCall, Seen][] = [
      [
        { call: "tcp", address: "172.30.0.1", port: 80 },
        { answer: four, from: "172.30.0.1:80" },
      ],
      [
        { call: "tcp", address: "fd00::1", port: 80 },
        { answer: six, from: "[fd00::1]:80" },
      ],
      [
        { call: "tcp", address: "::ffff:172.30.0.1", port: 80 },
        { answer: four, from: "[::ffff:172.30.0.1]:80" },
      ],
      [
        { call: "udpConnected", address: "172.30.0.1", port: 80 },
        { answer: four, from: "172.30.0.1:80", peer: "172.30.0.1:80" },
      ],
      [
        { call: "udpConnected", address: "fd00::1", port: 80 },
        { answer: six, from: "[fd00::1]:80", peer: "[fd00::1]:80" },
      ],
      [
        { call: "udpConnected", address: "::ffff:172.30.0.1", port: 80 },
        { answer: four, from: "[::ffff:172.30.0.1]:80", peer: "[::ffff:172.30.0.1]:80" },
      ],
      [
        { call: "udp", socket: 1, address: "172.30.0.1", port: 80 },
        { answer: four, from: "172.30.0.1:80" },
      ],
      [
        { call: "udp", socket: 2, address: "fd00::1", port: 80 },
        { answer: six, from: "[fd00::1]:80" },
      ],
      [
        { call: "udp", socket: 3, address: "::ffff:172.30.0.1", port: 80 },
        { answer: four, from: "[::ffff:172.30.0.1]:80" },
      ],
    ];
    for (const [call, expected] of cases) assert.deepEqual(await see(call), expected, JSON.stringify(call));
  });

  it("leaves alone what is no service", async () => {
    assert.deepEqual(await see({ call: "tcp", address: "127.0.0.2", port: 8001 }), {
      answer: "127.0.0.2:8001",
      from: "127.0.0.2:8001",
    });
    assert.deepEqual(await see({ call: "udp", socket: 4, address: "fd00:1::1", port: 8001 }), {
      answer: "fd00:1::1:8001",
      from: "[fd00:1::1]:8001",
    });
  });

  it("refuses at once: no endpoint, an undefined port, a local policy without local endpoints", async () => {
    await apply(
      bothProtocols(clusterIp("a/none", "172.30.0.2", [])),
      bothProtocols(clusterIp("a/none6", "fd00::2", [])),
      bothProtocols(clusterIp("a/remote", "172.30.0.3", [], { action: "drop" })),
      bothProtocols(clusterIp("a/remote6", "fd00::3", [], { action: "drop" })),
    );
    const refused = { error: "ECONNREFUSED" };
    const unreachable = { error: "EHOSTUNREACH" };
    const cases: readonly [PodCall, Seen][] = [
      [{ call: "tcp", address: "172.30.0.2", port: 80 }, refused],
      [{ call: "tcp", address: "fd00::2", port: 80 }, refused],
      [{ call: "tcp", address: "::ffff:172.30.0.2", port: 80 }, refused],
      [{ call: "udp", socket: 5, address: "172.30.0.2", port: 80 }, refused],
      [{ call: "udp", socket: 6, address: "fd00::2", port: 80 }, refused],
      [{ call: "tcp", address: "172.30.0.1", port: 81 }, refused],
      [{ call: "tcp", address: "fd00::1", port: 81 }, refused],
      [{ call: "udp", socket: 5, address: "172.30.0.1", port: 53 }, refused],
      [{ call: "tcp", address: "172.30.0.3", port: 80 }, unreachable],
      [{ call: "tcp", address: "fd00::3", port: 80 }, unreachable],
      [{ call: "udp", socket: 5, address: "172.30.0.3", port: 80 }, unreachable],
      [{ call: "udp", socket: 6, address: "fd00::3", port: 80 }, unreachable],
    ];
    for (const [call, expected] of cases) assert.deepEqual(await see(call), expected, JSON.stringify(call));
  });

  it("drops unassigned addresses of the service CIDR while there is one", async () => {
    const cidrs = ["172.30.0.0/16", "fd00::/112"]
      .map((text) => parsePrefix(text))
      .filter((prefix) => prefix !== undefined);
    const unassigned: readonly PodCall[] = [
      { call: "tcp", address: "172.30.9.9", port: 80 },
      { call: "tcp", address: "fd00::99", port: 80 },
    ];
    await dataplane.apply(roundOf(++revision, [], { serviceCidrs: cidrs }), ignore);
    for (const call of unassigned) assert.deepEqual(await see(call), { error: "EHOSTUNREACH" });
    assert.equal((await see({ call: "tcp", address: "172.30.0.1", port: 80 })).answer, "127.0.0.2:8001");
    // A wider one takes over: no moment without.
    const wider = ["172.16.0.0/12", "fd00::/108"]
      .map((text) => parsePrefix(text))
      .filter((prefix) => prefix !== undefined);
    await dataplane.apply(roundOf(++revision, [], { serviceCidrs: wider }), ignore);
    for (const call of unassigned) assert.deepEqual(await see(call), { error: "EHOSTUNREACH" });
    await dataplane.apply(roundOf(++revision, [], { serviceCidrs: [] }), ignore);
    for (const call of unassigned) assert.notEqual((await see(call)).error, "EHOSTUNREACH");
  });

  it("switches all frontends of a service with the revision, and stops serving what is removed", async () => {
    await apply(bothProtocols(clusterIp("a/four", "172.30.0.1", ["127.0.0.3:8001"])));
    assert.equal((await see({ call: "tcp", address: "172.30.0.1", port: 80 })).answer, "127.0.0.3:8001");
    assert.equal((await see({ call: "udp", socket: 1, address: "172.30.0.1", port: 80 })).answer, "127.0.0.3:8001");
    await apply(goneService("a/six"));
    assert.notEqual((await see({ call: "tcp", address: "fd00::1", port: 80 })).answer, "fd00:1::1:8001");
  });

  it("uses every backend", async () => {
    const all = ["127.0.0.2:8001", "127.0.0.2:8002", "127.0.0.3:8001"];
    await apply(clusterIp("a/three", "172.30.0.4", all));
    const seen = new Set<string | undefined>();
    for (let i = 0; i < 60; i++) seen.add((await see({ call: "tcp", address: "172.30.0.4", port: 80 })).answer);
    assert.deepEqual(sorted(seen), all);
  });

  it("keeps the backend of an unconnected UDP socket per service while it is eligible", async () => {
    const udp = (name: string, ip: string, targets: readonly string[]): ServicePlan =>
      clusterIp(name, ip, targets, { protocol: "UDP" });
    const two = ["127.0.0.2:8001", "127.0.0.3:8001"];
    const three = [...two, "127.0.0.4:8001"];
    const call = { call: "udp", socket: 7, address: "172.30.0.5", port: 80 } as const;
    await apply(udp("a/dns", "172.30.0.5", two), udp("a/other", "172.30.0.6", two));
    const first = (await see(call)).answer;
    const others = new Set<string | undefined>();
    for (let i = 0; i < 20; i++) {
      assert.deepEqual(await see(call), { answer: first, from: "172.30.0.5:80" });
      others.add((await see({ ...call, socket: 100 + i })).answer);
    }
    assert.deepEqual(sorted(others), two, "other sockets choose for themselves");
    await apply(udp("a/dns", "172.30.0.5", three));
    for (let i = 0; i < 20; i++) assert.equal((await see(call)).answer, first, "a backend more changes nothing");
    const without = three.filter((target) => target !== first);
    await apply(udp("a/dns", "172.30.0.5", without));
    const next = (await see(call)).answer;
    assert.ok(next !== undefined && without.includes(next), "its backend left: another one");
    for (let i = 0; i < 20; i++) assert.equal((await see(call)).answer, next);
    await apply(udp("a/dns", "172.30.0.5", []));
    assert.deepEqual(await see(call), { error: "ECONNREFUSED" });
  });

  it("shows a socket that connects again what it asked for last", async () => {
    await apply(clusterIp("a/again", "172.30.0.7", ["127.0.0.2:8001"], { protocol: "UDP" }));
    const service = { address: "172.30.0.7", port: 80 };
    const backend = { address: "127.0.0.2", port: 8001 };
    const elsewhere = { address: "127.0.0.9", port: 9 };
    assert.deepEqual(await see({ call: "udpReconnect", addresses: [service, backend, service, elsewhere, service] }), {
      peers: ["172.30.0.7:80", "127.0.0.2:8001", "172.30.0.7:80", "127.0.0.9:9", "172.30.0.7:80"],
    });
  });

  it("answers a connected UDP socket from its peer, also if it named that once more or asked another before", async () => {
    const three = ["127.0.0.2:8001", "127.0.0.3:8001", "127.0.0.4:8001"];
    await apply(
      clusterIp("a/first", "172.30.0.8", three, { protocol: "UDP" }),
      clusterIp("a/peer", "172.30.0.9", three, { protocol: "UDP" }),
    );
    for (let i = 0; i < 12; i++) {
      const { answers, error } = await see({
        call: "udpNamedPeer",
        first: { address: "172.30.0.8", port: 80 },
        peer: { address: "172.30.0.9", port: 80 },
      });
      assert.equal(error, undefined);
      assert.match(answers?.[0] ?? "", / from 172\.30\.0\.8:80$/);
      assert.match(answers?.[1] ?? "", / from 172\.30\.0\.9:80$/);
      assert.equal(answers?.[2], answers?.[1]);
    }
  });
});

const backends = [
  ["127.0.0.2", 8001],
  ["127.0.0.2", 8002],
  ["127.0.0.3", 8001],
  ["127.0.0.4", 8001],
  ["fd00:1::1", 8001],
] as const;

function sorted(texts: Iterable<string | undefined>): string[] {
  return Array.from(texts, String).toSorted(compareText);
}
