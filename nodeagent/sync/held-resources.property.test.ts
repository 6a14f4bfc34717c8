import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ResourceId } from "@weft/proto/ids.ts";
import fc from "fast-check";
import { HeldResources } from "./held-resources.ts";
import { keepBytes } from "./kept-bytes.ts";
import type { HeldResource } from "./received-resource.ts";

// Many of them begin their search at the same place of the table.
const ids = Array.from(
  { length: 24 },
  (_, i) => ((BigInt(i % 3) << 32n) | BigInt((i % 3) ^ ((i >> 2) * 64 + 5))) as ResourceId,
);
const distinct = [...new Set(ids)];
const services = [7n, 1n << 40n, ...distinct.slice(0, 1)] as ResourceId[];

// Long ones make waste that is worth a move within a few steps.
const anyBytes = fc
  .record({ length: fc.constantFrom(0, 1, 59, 60, 61, 62, 4_096, 300_000, 1_200_000), fill: fc.nat(255) })
  .map(({ length, fill }) => keepBytes(new Uint8Array(length).fill(fill)));
const anyResource: fc.Arbitrary<HeldResource> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(anyBytes, fc.constantFrom(...services))
      .map(([bytes, service]) => ({ kind: "backend" as const, bytes, service })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(anyBytes, fc.constantFrom("ns/a", "ns/é"))
      .map(([bytes, name]) => ({ kind: "service" as const, bytes, name })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(anyBytes, fc.constantFrom("name" as const, "unknown" as const))
      .map(([bytes, kind]) => ({ kind, bytes })),
  },
);
const anyStep = fc.record({
  id: fc.constantFrom(...distinct),
  put: fc.option(anyResource, { freq: 3, nil: undefined }),
  isEncoded: fc.boolean(),
  isCopied: fc.boolean(),
});

describe("what is held, in columns", () => {
  it("is what a Map would hold after any puts and deletes, by whichever way it is asked, and so are copies", () => {
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 1, maxLength: 60, size: "max" }), fc.nat(20), (steps, room) => {
        const held = new HeldResources();
        held.reserve(room);
        const model = new Map<ResourceId, HeldResource>();
        const copies: (readonly [
          copy: ReturnType<HeldResources["copy"]>,
          of: ReadonlyMap<ResourceId, HeldResource>,
        ])[] = [];
        for (const { id, put, isEncoded, isCopied } of steps) {
          if (put === undefined) assert.equal(held.delete(id), model.delete(id));
          else {
            model.set(id, put);
            if (isEncoded) setEncoded(held, id, put);
            else held.set(id, put);
          }
          if (isCopied) copies.push([held.copy(), new Map(model)]);
          assertSame(held, model);
        }
        for (const [copy, of] of copies.slice(-3)) assert.deepEqual(new Map(copy), of);
      }),
      { numRuns: 30 },
    );
  });

  it("gives back what bytes of the past took", () => {
    const held = new HeldResources();
    const id = distinct[0] as ResourceId;
    held.set(distinct[1] as ResourceId, { kind: "name", bytes: keepBytes(new Uint8Array(60).fill(3)) });
    const chunks = new Set<Buffer>();
    for (let i = 0; i < 400; i++) {
      held.set(id, { kind: "name", bytes: keepBytes(new Uint8Array(100_000).fill(i)) });
      chunks.add(held.bytesAt(held.slotOf(id)).bytes);
    }
    assert.ok(chunks.size > 20, "moved again and again");
    assert.equal(held.get(distinct[1] as ResourceId)?.bytes, keepBytes(new Uint8Array(60).fill(3)));
  });
});

function setEncoded(held: HeldResources, id: ResourceId, put: HeldResource): void {
  const service = put.kind === "backend" ? put.service : 0n;
  const from = Buffer.concat([Buffer.from("before"), Buffer.from(put.bytes, "latin1"), Buffer.from("after")]);
  held.setEncoded({
    idLow: Number(id & 0xffff_ffffn),
    idHigh: Number(id >> 32n),
    kind: ["unknown", "service", "backend", "name"].indexOf(put.kind),
    name: put.kind === "service" ? put.name : "",
    serviceLow: Number(service & 0xffff_ffffn),
    serviceHigh: Number(service >> 32n),
    from,
    start: 6,
    end: from.length - 5,
  });
}

function assertSame(held: HeldResources, model: ReadonlyMap<ResourceId, HeldResource>): void {
  assert.equal(held.size, model.size);
  assert.deepEqual(new Map(held), model);
  assert.deepEqual(new Set(held.keys()), new Set(model.keys()));
  const counts = { service: 0, backend: 0, name: 0, unknown: 0 };
  for (const { kind } of model.values()) counts[kind]++;
  assert.deepEqual(held.counts, counts);
  for (const id of distinct) assert.equal(held.has(id), model.has(id));
  const owners = new Map<ResourceId, string | undefined>();
  for (const [id, of] of model) {
    if (of.kind === "service") owners.set(id, of.name);
    else if (of.kind === "backend" && !owners.has(of.service)) owners.set(of.service, undefined);
  }
  assert.deepEqual(new Map(Array.from(held.owners(), ({ id, name }) => [id, name])), owners);
  for (const service of owners.keys()) {
    const owner = held.owner(service);
    assert.ok(owner !== undefined);
    const wanted = [...model].filter(([, of]) => of.kind === "backend" && of.service === service);
    const found = Array.from(held.backendsOf(owner), (slot) => held.idAt(slot));
    assert.equal(found.length, wanted.length);
    assert.deepEqual(new Set(found), new Set(wanted.map(([id]) => id)));
  }
}
