import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { FailureCategory, LogKind } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FaultyDataplane } from "../dataplane/faulty/faulty-dataplane.ts";
import { MemoryDataplane } from "../dataplane/memory/memory-dataplane.ts";
import { encodedBackend, encodedName, encodedService, encodedUnknown } from "../sync/described-resources.ts";
import type { EncodedResource } from "../sync/described-resources.ts";
import { readPart } from "../sync/received-resource.ts";
import { Store } from "../sync/store.ts";
import { AgentLab, PinnedDataplane, SteeredDataplane } from "./test-agents.ts";
import type { AgentOptions } from "./agent.ts";
import { messageBytesMax } from "./discovery-stream.ts";
import { delta, fakeEpoch, snapshot, welcome } from "./fake-control-plane.ts";
import type { Response } from "./fake-control-plane.ts";

const later = { createdMs: fakeEpoch.createdMs + 1_000n, random: 7 };
const web = encodedService({ name: "ns/web", clusterIps: ["10.96.0.1"] });
const web1 = encodedBackend({ service: "ns/web", address: "10.1.0.1" });
const web2 = encodedBackend({ service: "ns/web", address: "10.1.0.2" });
const dns = encodedService({ name: "ns/dns", clusterIps: ["10.96.0.2"] });
const dns1 = encodedBackend({ service: "ns/dns", address: "10.1.0.9" });

const isAt =
  (at: number) =>
  (ack: Ack): boolean =>
    ack.revision === BigInt(at);

describe("an agent that follows a control plane", () => {
  it("applies a snapshot and a delta, and acks each with the digest of what is live", async () => {
    await using lab = await AgentLab.start();
    const agent = await lab.agent();
    const stream = await lab.plane.stream();
    const hello = await stream.greet();
    assert.equal(hello.node, "n1");
    assert.equal(hello.cursor, undefined);
    assert.notEqual(hello.instance, 0n);
    stream.send(snapshot(5, [web, web1]), { synced: { revision: 5n } });
    const first = await stream.ack(isAt(5));
    assert.equal(first.digest, digestOf([web, web1]));
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
    stream.send(delta(5, 6, [web2]));
    const second = await stream.ack(isAt(6));
    assert.equal(second.digest, digestOf([web, web1, web2]));
    assert.ok((second.durations?.receivedToActiveUs ?? 0) > 0);
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080", "10.1.0.2:8080"]);
  });

  it("activates all parts of a delta as one, and none of them before the last", async () => {
    await using lab = await AgentLab.start();
    const agent = await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    const part = { to: 3n, parts: 3, scope: { everything: true } };
    stream.send({ delta: { ...part, part: 0, resources: [web.bytes] } });
    stream.send({ delta: { ...part, part: 1, resources: [web1.bytes] }, heartbeat: { sequence: 1n, revision: 3n } });
    await stream.ack((ack) => ack.heartbeat === 1n && ack.revision === 0n);
    assert.deepEqual(agent.lines(), []);
    stream.send({ delta: { ...part, part: 2, resources: [web2.bytes] } });
    await stream.ack(isAt(3));
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080", "10.1.0.2:8080"]);
  });

  const bad: readonly (readonly [string, Response])[] = [
    ["a delta from elsewhere", delta(4, 6, [web2])],
    ["a second part first", { delta: { from: 5n, to: 6n, part: 1, parts: 2, resources: [web2.bytes] } }],
    [
      "a resource that cannot be decoded",
      { delta: { from: 5n, to: 6n, resources: [Uint8Array.of(0xff, 0xff, 0xff)] } },
    ],
    ["an address of 2 bytes", { delta: { from: 5n, to: 6n, resources: [serviceWithShortAddress()] } }],
    ["a delta without from or scope", { delta: { to: 6n, resources: [web2.bytes] } }],
  ];
  for (const [what, response] of bad) {
    it(`ends the stream on ${what}, keeps its state and resumes at its cursor`, async () => {
      await using lab = await AgentLab.start();
      const agent = await lab.agent();
      const stream = await lab.plane.stream();
      await stream.greet();
      stream.send(snapshot(5, [web, web1]));
      await stream.ack(isAt(5));
      stream.send(response);
      await stream.ended();
      assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
      const again = await lab.plane.stream();
      const hello = await again.greet();
      assert.equal(hello.cursor?.revision, 5n);
      assert.equal(hello.digest, digestOf([web, web1]));
      again.send(delta(5, 6, [web2]), { synced: { revision: 6n } });
      await again.ack(isAt(6));
      assert.deepEqual(agent.backends(), ["10.1.0.1:8080", "10.1.0.2:8080"]);
    });
  }

  it("ignores messages and resources of a newer control plane but counts them in its digest", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send({});
    const unknown = encodedUnknown(77n);
    stream.send(snapshot(5, [web, web1, unknown, encodedName("z1")]));
    const ack = await stream.ack(isAt(5));
    assert.equal(ack.digest, digestOf([web, web1, unknown, encodedName("z1")]));
  });

  it("answers each heartbeat, also at an unchanged cursor, and ends a silent stream", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet(fakeEpoch, 100);
    for (const sequence of [1n, 2n]) {
      stream.send({ heartbeat: { sequence, revision: 0n } });
      await stream.ack((ack) => ack.heartbeat === sequence);
    }
    await stream.ended();
    assert.equal(lab.count('weft_agent_streams_ended_total{cause="silent"}'), 1);
  });

  it("answers digest queries with sums of buckets, then with the hashes in a bucket", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    stream.send({ digestQuery: { allBuckets: true } });
    const sums = await stream.digests();
    const held = storeOf([web, web1]);
    assert.deepEqual(sums.buckets, held.bucketSums());
    assert.equal(sums.revision, 5n);
    assert.equal(sums.last, true);
    const bucket = Number(web.id & 1023n);
    stream.send({ digestQuery: { buckets: [bucket] } });
    const hashes = await stream.digests();
    assert.deepEqual(
      hashes.resources.map(({ id, hash }) => ({ id, hash })),
      held.hashesIn([bucket]),
    );
  });

  it("applies a repair in its buckets only, in one activation", async () => {
    await using lab = await AgentLab.start();
    const agent = await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    const buckets = [web1, web2].map(({ id }) => Number(id & 1023n));
    stream.send({
      delta: { to: 9n, scope: { buckets }, removed: [web1.id], resources: [web2.bytes] },
      synced: { revision: 9n },
    });
    const ack = await stream.ack(isAt(9));
    assert.equal(ack.digest, digestOf([web, web2]));
    assert.deepEqual(agent.backends(), ["10.1.0.2:8080"]);
  });

  it("keeps resources when the epoch is renamed: acks 0 with its digest, then the head after Synced", async () => {
    await using lab = await AgentLab.start();
    const agent = await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    stream.send(welcome(later));
    const zero = await stream.ack(isAt(0));
    assert.equal(zero.digest, digestOf([web, web1]));
    stream.send({ synced: { revision: 1n } });
    await stream.ack(isAt(1));
    assert.deepEqual(agent.agent.active, { epoch: epoch(later.createdMs, later.random), revision: revision(1) });
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
    stream.send(delta(1, 2, [web2]));
    await stream.ack(isAt(2));
  });

  it("refuses an older epoch, counts it, and keeps its state", async () => {
    await using lab = await AgentLab.start();
    const agent = await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet(later);
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    stream.end();
    const older = await lab.plane.stream();
    await older.hello();
    older.send(welcome(fakeEpoch, 10_000, LogKind.REDIS));
    older.send(snapshot(1, [], true));
    await older.ended();
    assert.equal(lab.count("weft_agent_epochs_refused_total"), 1);
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
  });

  it("holds a mass removal at its old cursor until a confirmed snapshot", async () => {
    await using lab = await AgentLab.start();
    const agent = await lab.agent();
    const many = Array.from({ length: 20 }, (_, i) =>
      encodedService({ name: `ns/s${i}`, clusterIps: [`10.96.1.${i + 1}`] }),
    );
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, many));
    await stream.ack(isAt(5));
    stream.send(snapshot(6, many.slice(0, 2)), { synced: { revision: 6n } });
    const held = await stream.ack((ack) => ack.failures.length > 0);
    assert.equal(held.revision, 5n);
    assert.equal(held.failures[0]?.category, FailureCategory.MASS_REMOVAL_HELD);
    assert.equal(agent.services(), 20);
    stream.send(delta(6, 7, [web]));
    stream.send({ heartbeat: { sequence: 9n, revision: 7n } });
    const still = await stream.ack((ack) => ack.heartbeat === 9n);
    assert.equal(still.revision, 5n);
    stream.send(snapshot(8, many.slice(0, 2), true));
    const done = await stream.ack(isAt(8));
    assert.deepEqual(done.failures, []);
    assert.equal(agent.services(), 2);
  });

  it("takes a change of the node view as a round that keeps the cursor", async () => {
    await using lab = await AgentLab.start();
    const zoned = [
      encodedBackend({ service: "ns/web", address: "10.1.0.1", zoneHints: ["z1"] }),
      encodedBackend({ service: "ns/web", address: "10.1.0.2", zoneHints: ["z2"] }),
    ];
    const agent = await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, ...zoned]));
    await stream.ack(isAt(5));
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
    stream.send({ nodeView: { zone: "z2" } });
    await stream.ack(isAt(5));
    assert.deepEqual(agent.backends(), ["10.1.0.2:8080"]);
  });

  it("names a losing service in its acks and says so again when that ends", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    const rival = encodedService({ name: "ns/zzz", clusterIps: ["10.96.0.1"] });
    stream.send(snapshot(5, [web, rival]));
    const conflict = await stream.ack(isAt(5));
    assert.deepEqual(
      conflict.failures.map(({ service, category }) => [service, category]),
      [["ns/zzz", FailureCategory.CONFLICT]],
    );
    assert.equal(conflict.failuresTotal, 1);
    stream.send(delta(5, 6, [], [web]));
    const clear = await stream.ack(isAt(6));
    assert.deepEqual(clear.failures, []);
  });

  it("retries a round that could not be activated, never acks it before, and says why", async () => {
    const faulty = new FaultyDataplane(new MemoryDataplane(), {
      seed: 1,
      stageFailures: 0,
      roundFailures: 1,
      delayMsMax: 0,
    });
    await using lab = await AgentLab.start();
    const agent = await lab.agent({ dataplane: faulty });
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    const failed = await stream.ack((ack) => ack.failures.length > 0);
    assert.equal(failed.revision, 0n);
    assert.equal(failed.failures[0]?.category, FailureCategory.KERNEL);
    stream.send(delta(5, 6, [web2]));
    faulty.heal();
    const done = await stream.ack((ack) => ack.revision > 0n);
    assert.equal(done.revision, 6n);
    assert.deepEqual(done.failures, []);
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080", "10.1.0.2:8080"]);
  });

  it("acks what is live and not what is held, and conflates what comes during a round", async () => {
    await using lab = await AgentLab.start();
    const slow = new SteeredDataplane();
    const agent = await lab.agent({ dataplane: slow });
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    const release = slow.holdNext();
    stream.send(delta(5, 6, [web2]));
    stream.send(delta(6, 7, [dns]));
    stream.send(delta(7, 8, [dns1]));
    stream.send({ heartbeat: { sequence: 1n, revision: 8n } });
    const during = await stream.ack((ack) => ack.heartbeat === 1n);
    assert.deepEqual([during.revision, during.digest], [5n, digestOf([web, web1])]);
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
    release();
    const done = await stream.ack(isAt(8));
    assert.equal(done.digest, digestOf([web, web1, web2, dns, dns1]));
    assert.deepEqual(slow.activated, [5, 6, 8]);
  });

  it("does not claim in Hello to hold what is not live yet", async () => {
    await using lab = await AgentLab.start();
    const slow = new SteeredDataplane();
    await lab.agent({ dataplane: slow });
    const stream = await lab.plane.stream();
    await stream.greet();
    const release = slow.holdNext();
    stream.send(snapshot(5, [web, web1]));
    await slow.held;
    stream.end();
    const again = await lab.plane.stream();
    const hello = again.hello();
    const early = await Promise.race([hello.then(() => "hello"), sleep(100).then(() => "nothing")]);
    assert.equal(early, "nothing");
    release();
    assert.equal((await hello).cursor?.revision, 5n);
  });

  it("tries a change of the node view again if it could not be activated", async () => {
    await using lab = await AgentLab.start();
    const steered = new SteeredDataplane();
    const zoned = encodedBackend({ service: "ns/web", address: "10.1.0.1", zoneHints: ["z1"] });
    const other = encodedBackend({ service: "ns/web", address: "10.1.0.2", zoneHints: ["z2"] });
    const agent = await lab.agent({ dataplane: steered });
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, zoned, other]));
    await stream.ack(isAt(5));
    steered.failNext();
    stream.send({ nodeView: { zone: "z2" } });
    const failed = await stream.ack((ack) => ack.failures.length > 0);
    assert.equal(failed.revision, 5n);
    await stream.ack((ack) => ack.failures.length === 0);
    assert.deepEqual(agent.backends(), ["10.1.0.2:8080"]);
  });

  it("refuses a message over the limit, says so, and goes on", async () => {
    await using lab = await AgentLab.start();
    const agent = await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    stream.send({ delta: { from: 5n, to: 6n, resources: [new Uint8Array(messageBytesMax)] } });
    const again = await lab.plane.stream();
    assert.equal((await again.greet()).cursor?.revision, 5n);
    assert.equal(lab.count('weft_agent_streams_ended_total{cause="message-too-large"}'), 1);
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
  });

  it("says in its log and metrics why it cannot follow, once, and goes on trying", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    for (let i = 0; i < 2; i++) {
      const stream = await lab.plane.stream();
      await stream.hello();
      stream.end(status.ALREADY_EXISTS, "node n1 is used by 10.0.0.2; give each agent its own --node");
    }
    await (await lab.plane.stream()).hello();
    assert.equal(lab.count('weft_agent_streams_ended_total{cause="name-in-use"}'), 2);
    const lines = lab.log.filter((line) => line.includes("another agent uses this node name"));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /10\.0\.0\.2.*--node/);
  });
});

describe("an agent that starts again", () => {
  it("serves its last state without a control plane, and resumes at its cursor", async () => {
    await using lab = await AgentLab.start();
    const first = await lab.agent();
    const stream = await lab.plane.stream();
    const { instance } = await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    stream.send(delta(5, 6, [dns, dns1], [web1]));
    await stream.ack(isAt(6));
    const before = first.lines();
    await first.stop();
    const second = await lab.agent();
    assert.deepEqual(second.lines(), before);
    const again = await lab.plane.stream();
    const hello = await again.greet();
    assert.equal(hello.instance, instance);
    assert.equal(hello.cursor?.revision, 6n);
    assert.equal(hello.digest, digestOf([web, dns, dns1]));
    assert.deepEqual([hello.counts?.services, hello.counts?.backends], [2, 1]);
  });

  it("loads what opens streams once, when its last state is live", async () => {
    await using lab = await AgentLab.start();
    const before = await lab.agent();
    const first = await lab.plane.stream();
    await first.greet();
    first.send(snapshot(5, [web, web1]), { synced: { revision: 5n } });
    await first.ack(isAt(5));
    await before.stop();
    const dataplane = new MemoryDataplane();
    const loadedWith: number[] = [];
    const loadStreams = (): Promise<void> => {
      loadedWith.push(dataplane.dump().length);
      return Promise.resolve();
    };
    await lab.agent({ dataplane, loadStreams });
    const second = await lab.plane.stream();
    await second.greet();
    second.end();
    await (await lab.plane.stream()).greet();
    assert.deepEqual(loadedWith, [2], "both scopes of its only frontend");
  });

  it("leaves a kernel that is ahead of the file as it is, until its revision has arrived", async () => {
    await using lab = await AgentLab.start();
    const first = await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    await first.stop();
    const pinned = new PinnedDataplane({ epoch: epoch(fakeEpoch.createdMs, fakeEpoch.random), revision: revision(8) });
    const second = await lab.agent({ dataplane: pinned });
    const again = await lab.plane.stream();
    const hello = await again.greet();
    assert.equal(hello.cursor?.revision, 5n);
    again.send(delta(5, 7, [web2]));
    again.send({ heartbeat: { sequence: 1n, revision: 7n } });
    await again.ack((ack) => ack.heartbeat === 1n && ack.revision === 7n);
    assert.deepEqual(pinned.activated, []);
    again.send(delta(7, 8, [dns, dns1]));
    await again.ack(isAt(8));
    assert.deepEqual(pinned.activated, [8]);
    assert.deepEqual(second.backends(), ["10.1.0.1:8080", "10.1.0.2:8080", "10.1.0.9:8080"]);
  });

  it("activates nothing over a kernel of another epoch before Synced", async () => {
    await using lab = await AgentLab.start();
    const pinned = new PinnedDataplane({
      epoch: epoch(fakeEpoch.createdMs, fakeEpoch.random),
      revision: revision(800),
    });
    await lab.agent({ dataplane: pinned });
    const stream = await lab.plane.stream();
    await stream.greet(later);
    stream.send(snapshot(3, [web, web1]));
    stream.send({ heartbeat: { sequence: 1n, revision: 3n } });
    await stream.ack((ack) => ack.heartbeat === 1n && ack.revision === 0n);
    assert.deepEqual(pinned.activated, []);
    stream.send({ synced: { revision: 3n } });
    await stream.ack(isAt(3));
    assert.deepEqual(pinned.activated, [3]);
  });

  it("holds what would take most of a live kernel away, though it holds nothing itself", async () => {
    await using lab = await AgentLab.start();
    const many = Array.from({ length: 20 }, (_, i) =>
      encodedService({ name: `ns/s${i}`, clusterIps: [`10.96.1.${i + 1}`] }),
    );
    const pinned = new PinnedDataplane({ epoch: epoch(fakeEpoch.createdMs, fakeEpoch.random), revision: revision(8) });
    const before = await lab.agent({ dataplane: pinned, stateFolder: lab.otherFolder() });
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(8, many));
    await stream.ack(isAt(8));
    await before.stop();
    const activated = [...pinned.activated];
    // Another folder: the state on disk is lost.
    const agent = await lab.agent({ dataplane: pinned });
    const again = await lab.plane.stream();
    const hello = await again.greet(later);
    assert.deepEqual([hello.cursor, hello.counts?.services], [undefined, 20]);
    again.send(snapshot(3, many.slice(0, 2)), { synced: { revision: 3n } });
    const held = await again.ack((ack) => ack.failures.length > 0);
    assert.equal(held.failures[0]?.category, FailureCategory.MASS_REMOVAL_HELD);
    assert.deepEqual(pinned.activated, activated);
    assert.equal(agent.services(), 20);
    again.send(snapshot(4, many.slice(0, 2), true), { synced: { revision: 4n } });
    assert.deepEqual((await again.ack(isAt(4))).failures, []);
    assert.equal(agent.services(), 2);
  });

  it("goes on when the disk is full, and says so", async () => {
    await using lab = await AgentLab.start();
    let isFull = false;
    const writeState: AgentOptions["writeState"] = (_fd, bytes) => {
      if (isFull)
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC", syscall: "write" });
      return bytes.length;
    };
    const agent = await lab.agent({ writeState });
    isFull = true;
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(isAt(5));
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
    assert.equal(lab.count("weft_agent_state_stale"), 1);
    assert.equal(lab.log.filter((line) => line.includes("cannot write the state on disk")).length, 1);
  });
});

function serviceWithShortAddress(): Uint8Array {
  const { bytes } = encodedService({ name: "ns/bad", clusterIps: ["10.96.0.7"] });
  const copy = Uint8Array.from(bytes);
  // The address of 4 bytes becomes one of 2 and an unknown field.
  const at = copy.findLastIndex((byte, i) => byte === 0x22 && copy[i + 1] === 4);
  copy.set([0x22, 2, 1, 1, 0x78, 1], at);
  return copy;
}

function storeOf(resources: readonly EncodedResource[]): Store {
  const store = new Store();
  const reading = readPart({ removed: [], resources: resources.map(({ bytes }) => bytes) });
  assert.ok(reading.kind === "part");
  store.commit([reading.part], "everything-unlisted");
  return store;
}

function digestOf(resources: readonly EncodedResource[]): bigint {
  return storeOf(resources).digest;
}
