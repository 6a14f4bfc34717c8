import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Digest } from "@weft/proto/digest.ts";
import { addressFromBytes } from "@weft/proto/address.ts";
import { hash64, hashToBigint } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { encodedBackend, encodedName, encodedService, encodedUnknown } from "./described-resources.ts";
import type { EncodedResource } from "./described-resources.ts";
import { readPart } from "./received-resource.ts";
import type { HeldResources } from "./held-resources.ts";
import type { ReceivedPart } from "./received-resource.ts";
import { Store } from "./store.ts";
import type { Pruning } from "./store.ts";

const services = ["ns/a", "ns/b", "ns/c"];

interface Put {
  readonly resource: EncodedResource;
  readonly service: string;
  /** Undefined: not a backend. */
  readonly backend: string | undefined;
}

const serviceOrBackend = fc.oneof(
  fc
    .record({ service: fc.constantFrom(...services), ip: fc.integer({ min: 1, max: 3 }) })
    .map(({ service, ip }): Put => ({
      resource: encodedService({ name: service, clusterIps: [`10.96.0.${ip}`] }),
      service,
      backend: undefined,
    })),
  fc
    .record({
      service: fc.constantFrom(...services),
      ip: fc.integer({ min: 1, max: 4 }),
      state: fc.constantFrom("ready" as const, "terminating" as const),
    })
    .map(({ service, ip, state }): Put => {
      const address = `10.1.0.${ip}`;
      return { resource: encodedBackend({ service, address, state }), service, backend: `${address} ${state}` };
    }),
  fc.constantFrom(
    { resource: encodedName("z1"), service: "", backend: undefined },
    { resource: encodedUnknown(99n), service: "", backend: undefined },
  ),
);

const change = fc.record({
  pruning: fc.constantFrom<Pruning>("nothing", "everything-unlisted"),
  puts: fc.uniqueArray(serviceOrBackend, { maxLength: 8, selector: ({ resource }) => resource.id }),
  removed: fc.array(serviceOrBackend, { maxLength: 4 }),
  parts: fc.integer({ min: 1, max: 3 }),
});

describe("the store against a naive model", () => {
  it("holds what the model holds after any deltas, repairs and snapshots, and names what it touched", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
        const store = new Store();
        let model = new Map<bigint, Put>();
        for (const { pruning, puts, removed, parts } of changes) {
          const before = model;
          const cut = cutInto(parts, puts, removed);
          const predicted = store.servicesRemovedBy(cut, pruning);
          const servicesBefore = servicesOf(before);
          const changed = store.commit(cut, pruning);
          model = applyNaively(before, puts, removed, pruning);
          assertEqual(store, model);
          assert.deepEqual([...changed.touched].toSorted(), touchedNaively(before, model));
          assert.deepEqual(new Set(changed.removed), new Set([...before.keys()].filter((id) => !model.has(id))));
          assert.equal(predicted, servicesBefore.filter((name) => !servicesOf(model).includes(name)).length);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("touches nothing when a snapshot repeats what is held", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(serviceOrBackend, { maxLength: 12, selector: ({ resource }) => resource.id }),
        (puts) => {
          const store = new Store();
          store.commit(cutInto(1, puts, []), "everything-unlisted");
          const {
            touched,
            removed,
            puts: changed,
          } = store.commit(cutInto(3, puts.toReversed(), []), "everything-unlisted");
          assert.deepEqual([touched.size, removed.length, changed.size], [0, 0, 0]);
        },
      ),
    );
  });
});

describe("the store", () => {
  it("keeps one Service object for as long as its bytes stay", () => {
    const store = new Store();
    const web = encodedService({ name: "ns/a", clusterIps: ["10.96.0.1"] });
    store.commit([part([web])], "nothing");
    const first = store.serviceByName("ns/a")?.service;
    store.commit([part([web, encodedBackend({ service: "ns/a", address: "10.1.0.1" })])], "nothing");
    assert.equal(store.serviceByName("ns/a")?.service, first);
    store.commit([part([encodedService({ name: "ns/a", clusterIps: ["10.96.0.2"] })])], "nothing");
    assert.notEqual(store.serviceByName("ns/a")?.service, first);
  });

  it("keeps backends that come before their service", () => {
    const store = new Store();
    store.commit([part([encodedBackend({ service: "ns/a", address: "10.1.0.1" })])], "nothing");
    assert.equal(store.serviceByName("ns/a"), undefined);
    const { touched } = store.commit([part([encodedService({ name: "ns/a", clusterIps: ["10.96.0.1"] })])], "nothing");
    assert.deepEqual([...touched], ["ns/a"]);
    assert.equal([...(store.serviceByName("ns/a")?.backends ?? [])].length, 1);
  });

  it("keeps bytes exactly as received", () => {
    const store = new Store();
    // A non-canonical encoding: field 15 before the id.
    const { bytes } = encodedUnknown(7n);
    const odd = Uint8Array.from([...bytes.subarray(9), ...bytes.subarray(0, 9)]);
    store.commit([part([{ id: encodedUnknown(7n).id, bytes: odd }])], "nothing");
    const expected = new Digest();
    expected.add(encodedUnknown(7n).id, hash64(odd));
    assert.equal(store.digest, expected.root);
  });

  it("finds what it holds and does not plan from, and makes it anew from the bytes", () => {
    const web = encodedService({ name: "ns/web", clusterIps: ["10.96.0.1"] });
    const db = encodedService({ name: "ns/db", clusterIps: ["10.96.0.2"] });
    const [one, two] = ["10.1.0.1", "10.1.0.2"].map((address) => encodedBackend({ service: "ns/web", address }));
    assert.ok(one !== undefined && two !== undefined);
    const store = new Store();
    store.commit([part([web, one, two, db])], "nothing");
    const { digest, counts } = store;
    const wrong = (): string[] => [...store.unindexed()].filter((name) => name !== undefined);
    const addresses = (): string[] =>
      [...(store.serviceByName("ns/web")?.backends ?? [])].map(({ address }) => addressFromBytes(address)).toSorted();
    const ownerOf = (id: ResourceId) => {
      const owner = (store.resources() as HeldResources).owner(id);
      assert.ok(owner !== undefined);
      return owner;
    };
    const faults: readonly (readonly [spoil: () => void, found: readonly string[]])[] = [
      [() => (ownerOf(web.id).first = -1), ["ns/web"]],
      [() => (ownerOf(db.id).name = undefined), [""]],
      [() => (ownerOf(db.id).name = "ns/other"), []],
      [() => (ownerOf(db.id).first = ownerOf(web.id).first), []],
    ];
    for (const [i, [spoil, found]] of faults.entries()) {
      assert.deepEqual(wrong(), []);
      spoil();
      assert.deepEqual(wrong(), found, `fault ${i}`);
      if (found.length === 0) assert.equal(store.auditService("ns/db").isIndexed, false, `fault ${i}`);
      store.reindex();
      assert.deepEqual(addresses(), ["10.1.0.1", "10.1.0.2"]);
      for (const name of ["ns/web", "ns/db"])
        assert.ok(store.auditService(name).isIndexed && store.hasService(name), name);
      assert.deepEqual([store.digest, store.counts], [digest, counts]);
    }
  });

  it("reads a Service from its bytes for an audit, and again for a plan once the one that it keeps is forgotten", () => {
    const store = new Store();
    store.commit([part([encodedService({ name: "ns/a", clusterIps: ["10.96.0.1"] })])], "nothing");
    const kept = store.serviceByName("ns/a")?.service;
    assert.ok(kept !== undefined);
    kept.affinitySeconds = 7;
    assert.equal(store.auditService("ns/a").view?.service.affinitySeconds, 0);
    assert.equal(store.serviceByName("ns/a")?.service.affinitySeconds, 7);
    store.forgetDecoded("ns/a");
    assert.equal(store.serviceByName("ns/a")?.service.affinitySeconds, 0);
  });

  it("does not keep the buffer that it received", () => {
    const { bytes } = encodedService({ name: "ns/a", clusterIps: ["10.96.0.1"] });
    const store = new Store();
    store.commit([part([{ id: encodedUnknown(1n).id, bytes }])], "nothing");
    const before = store.digest;
    bytes.fill(0);
    assert.equal(store.digest, before);
    assert.deepEqual(
      [...(store.serviceByName("ns/a")?.service.clusterIps ?? [])].map((ip) => ip.join(".")),
      ["10.96.0.1"],
    );
  });
});

function part(resources: readonly EncodedResource[], removed: readonly bigint[] = []): ReceivedPart {
  const reading = readPart({ removed, resources: resources.map(({ bytes }) => bytes) });
  assert.ok(reading.kind === "part");
  return reading.part;
}

function cutInto(parts: number, puts: readonly Put[], removed: readonly Put[]): readonly ReceivedPart[] {
  const share = Math.ceil(puts.length / parts);
  return Array.from({ length: parts }, (_, i) =>
    part(
      puts.slice(i * share, (i + 1) * share).map(({ resource }) => resource),
      i === 0 ? removed.map(({ resource }) => resource.id) : [],
    ),
  );
}

function applyNaively(
  before: ReadonlyMap<bigint, Put>,
  puts: readonly Put[],
  removed: readonly Put[],
  pruning: Pruning,
): Map<bigint, Put> {
  const after = pruning === "nothing" ? new Map(before) : new Map<bigint, Put>();
  for (const { resource, service, backend } of removed) {
    if (puts.some((put) => put.resource.id === resource.id)) continue;
    const isHeldService = backend === undefined && service !== "" && before.has(resource.id);
    after.delete(resource.id);
    if (isHeldService)
      for (const [id, put] of after) if (put.service === service && put.backend !== undefined) after.delete(id);
  }
  for (const put of puts) after.set(put.resource.id, put);
  return after;
}

function servicesOf(model: ReadonlyMap<bigint, Put>): readonly string[] {
  return [...model.values()]
    .filter(({ service, backend }) => service !== "" && backend === undefined)
    .map(({ service }) => service);
}

function touchedNaively(before: ReadonlyMap<bigint, Put>, after: ReadonlyMap<bigint, Put>): readonly string[] {
  const touched = new Set<string>();
  for (const id of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(id), after.get(id)];
    if (was !== undefined && is !== undefined && Buffer.compare(was.resource.bytes, is.resource.bytes) === 0) continue;
    const { service } = was ?? is ?? { service: "" };
    // Backends of a service that was and is unknown touch nothing that is planned.
    if (servicesOf(before).includes(service) || servicesOf(after).includes(service)) touched.add(service);
  }
  return [...touched].toSorted();
}

function assertEqual(store: Store, model: ReadonlyMap<bigint, Put>): void {
  const digest = new Digest();
  for (const { resource } of model.values()) digest.add(resource.id, hash64(resource.bytes));
  assert.equal(store.digest, digest.root);
  store.recount();
  assert.equal(store.digest, digest.root);
  // What was asked before the next commit must not be what is told after it.
  assert.deepEqual(
    new Map(store.hashesIn(Array.from({ length: 1_024 }, (_, i) => i)).map(({ id, hash }) => [id, hash])),
    new Map([...model.values()].map(({ resource: { id, bytes } }) => [id, hashToBigint(hash64(bytes))])),
  );
  assert.equal(store.size, model.size);
  assert.deepEqual([...store.serviceNames()].toSorted(), servicesOf(model).toSorted());
  for (const name of services) {
    const backends = [...(store.serviceByName(name)?.backends ?? [])].map(
      ({ address, terminating }) => `${addressFromBytes(address)} ${terminating ? "terminating" : "ready"}`,
    );
    const expected = [...model.values()].flatMap(({ service, backend }) =>
      service === name && backend !== undefined ? [backend] : [],
    );
    assert.deepEqual(backends.toSorted(), servicesOf(model).includes(name) ? expected.toSorted() : []);
  }
  for (const name of store.serviceNames()) assert.ok(store.auditService(name).isIndexed, name);
  for (const service of store.unindexed()) assert.equal(service, undefined);
  const { services: serviceCount, backends } = store.counts;
  assert.equal(serviceCount, servicesOf(model).length);
  assert.equal(backends, [...model.values()].filter(({ backend }) => backend !== undefined).length);
}
