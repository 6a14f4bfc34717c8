import assert from "node:assert/strict";
import { it } from "node:test";
import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Resource } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import fc from "fast-check";
import { encodedBackend, encodedName, encodedService } from "./described-resources.ts";
import { HeldResources } from "./held-resources.ts";
import { keepBytes } from "./kept-bytes.ts";
import { plainBackend, plainBackendAt } from "./plain-backend.ts";

const id64 = fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }));

const anyBackend = fc
  .record({
    id: id64,
    service: id64,
    address: fc.uint8Array({ maxLength: 17 }),
    ports: fc.array(
      fc.record({
        name: fc.oneof(fc.constantFrom("", "http", "h\u00e9"), fc.string({ maxLength: 300 })),
        protocol: fc.constantFrom(0, 1, 2, 3),
        number: fc.nat(70_000),
      }),
      { maxLength: 4 },
    ),
    node: id64,
    zone: id64,
    zoneHints: fc.array(id64, { maxLength: 3 }),
    nodeHints: fc.array(id64, { maxLength: 3 }),
    notReady: fc.boolean(),
    notServing: fc.boolean(),
    terminating: fc.boolean(),
    localCopy: fc.boolean(),
  })
  .map(({ id, ...value }) =>
    toBinary(ResourceSchema, create(ResourceSchema, { id, kind: { case: "backend", value } })),
  );

it("reads every backend as protobuf-es does, from bytes and from where they are kept", () => {
  const held = new HeldResources();
  fc.assert(
    fc.property(anyBackend, (bytes) => {
      const wanted = fromBinary(ResourceSchema, bytes);
      held.set(1n as ResourceId, { kind: "name", bytes: keepBytes(bytes) });
      const kept = held.bytesAt(held.slotOf(1n as ResourceId));
      for (const read of [plainBackend(bytes), plainBackendAt(kept)]) {
        if (read !== undefined) assert.ok(equals(ResourceSchema, asResource(read), wanted));
        else assert.ok(wanted.id === 0n || hasOddName(wanted) || bytes.length > 4_096, "plain, but not read");
      }
    }),
    { numRuns: 2_000 },
  );
});

it("reads what was damaged as protobuf-es does, or leaves it to that", () => {
  const anyDamage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
  let read = 0;
  fc.assert(
    fc.property(anyBackend, anyDamage, fc.nat(8), (bytes, damage, cut) => {
      const damaged = bytes.slice(0, bytes.length - cut);
      for (const [at, value] of damage) if (damaged.length > 0) damaged[at % damaged.length] = value;
      const found = plainBackend(damaged);
      if (found === undefined) return;
      read++;
      assert.ok(equals(ResourceSchema, asResource(found), fromBinary(ResourceSchema, damaged)));
    }),
    { numRuns: 5_000 },
  );
  assert.ok(read > 30, `only ${read} were read`);
});

it("leaves other resources, and a backend with a field of a newer version, to protobuf-es", () => {
  const backend = encodedBackend({ service: "a/b", address: "10.0.0.1" }).bytes;
  assert.notEqual(plainBackend(backend), undefined);
  const newer = Uint8Array.from([...backend, 0x7a, 1, 97]);
  const others = [encodedName("n").bytes, encodedService({ name: "a/b", clusterIps: ["10.0.0.1"] }).bytes, newer];
  for (const bytes of [...others, new Uint8Array(), backend.subarray(0, 10)])
    assert.equal(plainBackend(bytes), undefined);
});

function asResource({ id, backend }: NonNullable<ReturnType<typeof plainBackend>>): Resource {
  return create(ResourceSchema, { id, kind: { case: "backend", value: backend } });
}

function hasOddName({ kind }: Resource): boolean {
  return kind.case === "backend" && kind.value.ports.some(({ name }) => /[^\0-\x7f]/.test(name));
}
