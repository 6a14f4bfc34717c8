import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { readTraceContext } from "@weft/proto/telemetry/trace-context.ts";
import { million } from "@weft/proto/telemetry/trace-id.ts";
import fc from "fast-check";
import { catalogLimits } from "../catalog/catalog-limits.ts";
import { Catalog } from "../catalog/catalog.ts";
import { madeBackend, madeName, madeService } from "../catalog/made-resources.ts";
import type { EncodedResource } from "../catalog/resource.ts";
import { serviceRecord } from "../compile/compile-samples.ts";
import { Compiler } from "../compile/compiler.ts";
import type { RecordChange } from "../source/source.ts";
import type { Address } from "@weft/proto/address.ts";
import {
  bucketsBytes,
  deltaHeaderBytesMax,
  deltaPartBytes,
  encodeDeltaPart,
  resourceEntryBytes,
  triggersBytes,
} from "./delta-bytes.ts";
import type { DeltaPart } from "./delta-bytes.ts";
import { Transfer } from "./transfer.ts";

const number = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const hex = (digits: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...Array.from("0123456789abcdef")), minLength: digits, maxLength: digits });
const traceContext = fc.record(
  {
    traceId: hex(32).filter((id) => !/^0*$/.test(id)),
    spanId: hex(16).filter((id) => !/^0*$/.test(id)),
    nodesPerMillion: fc.integer({ min: 1, max: million }),
  },
  { noNullPrototype: true },
);
const part: fc.Arbitrary<DeltaPart> = fc
  .record({
    from: fc.option(number.map(revision), { nil: undefined }),
    buckets: fc.option(fc.uniqueArray(fc.integer({ min: 0, max: 1_023 }), { minLength: 1 }), { nil: undefined }),
    to: number.map(revision),
    part: fc.integer({ min: 0, max: 200 }),
    parts: fc.integer({ min: 1, max: 300 }),
    isMassRemovalConfirmed: fc.boolean(),
    trace: fc.option(traceContext, { nil: undefined }),
    removed: fc.array(fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }) as fc.Arbitrary<ResourceId>, { maxLength: 40 }),
    resources: fc.array(fc.uint8Array({ maxLength: 300 }).map(encoded), { maxLength: 10 }),
    triggers: fc.record({ ipv4: fc.array(number, { maxLength: 40 }), ipv6: fc.array(number, { maxLength: 3 }) }),
  })
  .map(({ buckets, ...of }) => ({
    ...of,
    part: of.parts === 1 ? 0 : of.part,
    buckets: of.from === undefined ? buckets?.toSorted((a, b) => a - b) : undefined,
  }));

function encoded(bytes: Uint8Array): EncodedResource {
  return { bytesLength: bytes.length, copyTo: (target, at) => target.set(bytes, at) };
}

function bytesOf(of: EncodedResource): Uint8Array {
  const bytes = new Uint8Array(of.bytesLength);
  of.copyTo(bytes, 0);
  return bytes;
}

describe("an encoded delta", () => {
  test("is what protobuf-es reads and writes, byte for byte", () => {
    fc.assert(
      fc.property(part, (of) => {
        const bytes = encodeDeltaPart(of);
        const decoded = fromBinary(SyncResponseSchema, bytes);
        const delta = decoded.delta;
        assert.ok(delta);
        assert.equal(delta.from, of.from === undefined ? undefined : BigInt(of.from));
        assert.equal(delta.to, BigInt(of.to));
        assert.deepEqual([delta.part, delta.parts || 1], [of.part, of.parts]);
        assert.equal(delta.scope?.everything ?? false, of.from === undefined && of.buckets === undefined);
        assert.deepEqual(delta.scope?.buckets ?? [], of.buckets ?? []);
        assert.equal(delta.massRemovalConfirmed, of.isMassRemovalConfirmed);
        assert.deepEqual(delta.trace && readTraceContext(delta.trace), of.trace);
        assert.deepEqual(delta.removed, of.removed);
        assert.deepEqual(delta.resources, of.resources.map(bytesOf));
        assert.deepEqual(delta.ipv4TriggerTimesMs.map(Number), of.triggers.ipv4);
        assert.deepEqual(delta.ipv6TriggerTimesMs.map(Number), of.triggers.ipv6);
        assert.deepEqual(toBinary(SyncResponseSchema, decoded), bytes);
        assert.equal(deltaPartBytes(of), bytes.length);
        const content = of.removed.length * 8 + of.resources.reduce((sum, one) => sum + resourceEntryBytes(one), 0);
        assert.ok(
          bytes.length <= content + triggersBytes(of.triggers) + bucketsBytes(of.buckets ?? []) + deltaHeaderBytesMax,
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("a transfer", () => {
  const resources = Array.from({ length: 200 }, (_, i) => madeBackend("a", i));
  const triggers = { ipv4: Array.from({ length: 13 }, (_, i) => 1_763_881_972_000 + i), ipv6: [1_763_881_972_002] };
  const removed = Array.from({ length: 100 }, (_, i) => madeName(`n${i}`).id);

  test("is cut into parts below the limit that together are all of it", () => {
    for (const limit of [200, 1_000, 1 << 20]) {
      const transfer = Transfer.delta(
        { kind: "operations", from: revision(1), to: revision(9), puts: resources, removed, triggers },
        limit,
      );
      const parts = Array.from({ length: transfer.parts }, (_, i) => transfer.part(i));
      assert.ok(parts.every((bytes) => bytes.length <= limit));
      const deltas = parts.map((bytes) => fromBinary(SyncResponseSchema, bytes).delta);
      assert.deepEqual(
        deltas.map((delta) => [delta?.ipv4TriggerTimesMs.map(Number), delta?.ipv6TriggerTimesMs.map(Number)]),
        parts.map((_, i) => (i === 0 ? [triggers.ipv4, triggers.ipv6] : [[], []])),
      );
      assert.deepEqual(
        deltas.map((delta) => [delta?.part, delta?.parts || 1]),
        parts.map((_, i) => [i, parts.length]),
      );
      assert.ok(deltas.every((delta) => delta?.from === 1n && delta.to === 9n));
      assert.deepEqual(
        deltas.flatMap((delta) => delta?.removed ?? []),
        removed,
      );
      assert.deepEqual(
        deltas.flatMap((delta) => delta?.resources ?? []),
        resources.map(({ bytes }) => bytes),
      );
      assert.equal(
        transfer.bytes,
        parts.reduce((sum, bytes) => sum + bytes.length, 0),
      );
      assert.deepEqual([...transfer.encoded()], parts);
    }
  });

  test("gives every stream the same bytes", () => {
    const transfer = Transfer.snapshot(revision(1), resources, true, 1_000);
    assert.equal(transfer.part(1), transfer.part(1));
  });

  test("of nothing is one part", () => {
    const transfer = Transfer.snapshot(revision(1), [], true, 1_000);
    assert.equal(transfer.parts, 1);
    assert.equal(fromBinary(SyncResponseSchema, transfer.part(0)).delta?.scope?.everything, true);
  });

  test("carries a resource larger than a part in a part of its own", () => {
    const large = madeService("a".repeat(5_000));
    const transfer = Transfer.snapshot(revision(1), [madeService("b"), large, madeService("c")], true, 1_000);
    assert.equal(transfer.parts, 3);
  });
});

describe("bytes of one pod change", () => {
  // gRPC puts 5 bytes before a message, HTTP/2 9 before a DATA frame.
  const framing = 14;
  const endpoint = (address: string, isReady = true) => ({
    address: address as Address,
    isReady,
    isServing: true,
    isTerminating: false,
    nodeName: "node-17",
    zone: "eu-west-1a",
    zoneHints: ["eu-west-1a"],
    nodeHints: [],
  });
  const addresses = Array.from({ length: 100 }, (_, i) => `10.1.0.${i + 1}`);
  const slice = (endpoints: readonly ReturnType<typeof endpoint>[]): RecordChange => ({
    op: "put",
    record: {
      kind: "EndpointSlice",
      name: "shop/cart-x",
      service: "shop/cart",
      ports: [{ name: "http", protocol: "TCP", number: 8080 }],
      endpoints,
    },
  });
  const record = serviceRecord("shop/cart", { clusterIps: ["10.96.0.1" as Address] });
  const service: RecordChange = { op: "put", record };
  const changes: readonly [name: string, endpoints: readonly ReturnType<typeof endpoint>[], bytesMax: number][] = [
    ["a pod is added to a 100-endpoint slice", [...addresses, "10.1.0.200"].map((address) => endpoint(address)), 110],
    ["a pod becomes not ready", addresses.map((address, i) => endpoint(address, i !== 50)), 110],
    ["a pod is removed", addresses.slice(1).map((address) => endpoint(address)), 40],
  ];
  for (const [name, endpoints, bytesMax] of changes) {
    test(`${name}: at most ${bytesMax} with framing`, (t) => {
      const compiler = new Compiler();
      const catalog = new Catalog(epoch(1, 1), catalogLimits);
      compiler.apply([service, slice(addresses.map((address) => endpoint(address)))]);
      catalog.apply(catalog.draft(compiler.take()) ?? assert.fail());
      compiler.apply([slice(endpoints)]);
      catalog.apply(catalog.draft(compiler.take()) ?? assert.fail());
      const operations = catalog.since({ epoch: catalog.epoch, revision: revision(1) });
      assert.equal(operations.kind, "operations");
      const bytes = Transfer.delta(operations, 1 << 20).part(0).length + framing;
      t.diagnostic(`${bytes} bytes`);
      assert.ok(bytes <= bytesMax, `${bytes} bytes`);
    });
  }
});
