/** The protocol as bytes: what one side writes, the other reads, also when it is newer, older, torn or in another order. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  DeltaSchema,
  DiscoveryService,
  GoawaySchema,
  SyncRequestSchema,
  SyncResponseSchema,
} from "./gen/weft/discovery/v1/discovery_pb.ts";
import { ResourceSchema, ServiceType } from "./gen/weft/discovery/v1/resource_pb.ts";
import { methodDefinition, serviceDefinition } from "./grpc/service.ts";

const service = create(ResourceSchema, {
  id: 0xfedc_ba98_7654_3210n,
  kind: {
    case: "service",
    value: {
      name: "default/web",
      type: ServiceType.CLUSTER_IP,
      clusterIps: [Uint8Array.of(10, 0, 0, 1)],
      ports: [{ name: "http", protocol: 1, port: 80 }],
    },
  },
});
const name = create(ResourceSchema, { id: 2n, kind: { case: "name", value: { value: "node-1" } } });
const resourceBytes = [toBinary(ResourceSchema, service), toBinary(ResourceSchema, name)];

const response = create(SyncResponseSchema, {
  welcome: { epoch: { createdMs: 1_763_881_972_000n, random: 0x9f3a_12bc }, limits: { heartbeatMs: 10_000 } },
  nodeView: { zone: "a", serviceCidrs: [{ address: Uint8Array.of(10, 96, 0, 0), length: 12 }] },
  delta: { from: 41n, to: 42n, removed: [7n], resources: resourceBytes },
  synced: { revision: 42n },
});
const responseBytes = toBinary(SyncResponseSchema, response);

// Field numbers of the message as they stand in `bytes`, with the bytes of each.
function fieldsOf(bytes: Uint8Array): readonly { readonly number: number; readonly bytes: Uint8Array }[] {
  const reader = new BinaryReader(bytes);
  const fields = [];
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const [number, type] = reader.tag();
    reader.skip(type, number);
    fields.push({ number, bytes: bytes.slice(from, reader.pos) });
  }
  return fields;
}

const concat = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));

// Fields that no reader of today knows: a number, text, fixed64 and a nested message.
const unknownFields = new BinaryWriter()
  .tag(1_900, WireType.Varint)
  .uint64(99n)
  .tag(1_901, WireType.LengthDelimited)
  .string("newer")
  .tag(1_902, WireType.Bit64)
  .fixed64(5n)
  .finish();

describe("weft.discovery.v1", () => {
  test("what is written is read", () => {
    assert.deepEqual(fromBinary(SyncResponseSchema, responseBytes), response);
    const hello = create(SyncRequestSchema, {
      message: { case: "hello", value: { node: "n1", instance: 2n ** 64n - 1n, digest: 2n ** 63n, protocol: 1 } },
    });
    assert.deepEqual(fromBinary(SyncRequestSchema, toBinary(SyncRequestSchema, hello)), hello);
  });

  test("fields of one response are written in the order in which they must be processed", () => {
    assert.deepEqual(
      fieldsOf(responseBytes).map(({ number }) => number),
      [1, 2, 3, 4],
    );
  });

  test("fields in another order mean the same", () => {
    const reordered = concat(
      ...fieldsOf(responseBytes)
        .map(({ bytes }) => bytes)
        .toReversed(),
    );
    assert.deepEqual(fromBinary(SyncResponseSchema, reordered), response);
  });

  test("every truncation that tears a field is refused, every other one reads a part", () => {
    const ends = new Set([0]);
    for (const { bytes } of fieldsOf(responseBytes)) ends.add(Math.max(...ends) + bytes.length);
    for (let length = 0; length < responseBytes.length; length++) {
      const cut = responseBytes.subarray(0, length);
      if (ends.has(length)) assert.ok(fromBinary(SyncResponseSchema, cut));
      else assert.throws(() => fromBinary(SyncResponseSchema, cut), `the first ${length} bytes`);
    }
  });

  test("garbage is refused", () => {
    for (const bytes of [
      [0xff, 0xff, 0xff],
      [0x00],
      [0x0b],
      [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
      [0x1a, 0x7f, 0x00],
    ]) {
      assert.throws(() => fromBinary(SyncResponseSchema, Uint8Array.from(bytes)), bytes.join(" "));
    }
  });

  test("unknown fields are kept, in messages and in resources", () => {
    const newer = concat(resourceBytes[0] ?? new Uint8Array(), unknownFields);
    const read = fromBinary(ResourceSchema, newer);
    assert.equal(read.kind.case, "service");
    assert.deepEqual(toBinary(ResourceSchema, read), newer);
    const message = fromBinary(SyncResponseSchema, concat(unknownFields, responseBytes));
    assert.deepEqual(message.delta, response.delta);
    assert.equal(toBinary(SyncResponseSchema, message).length, responseBytes.length + unknownFields.length);
  });

  test("a resource and a request of a kind that is newer than the reader have no kind", () => {
    const resource = new BinaryWriter()
      .tag(1, WireType.Bit64)
      .fixed64(9n)
      .tag(77, WireType.LengthDelimited)
      .bytes(Uint8Array.of(1, 2))
      .finish();
    const read = fromBinary(ResourceSchema, resource);
    assert.equal(read.id, 9n);
    assert.equal(read.kind.case, undefined);
    assert.deepEqual(toBinary(ResourceSchema, read), resource);
    const request = new BinaryWriter().tag(77, WireType.LengthDelimited).bytes(Uint8Array.of()).finish();
    assert.equal(fromBinary(SyncRequestSchema, request).message.case, undefined);
  });

  test("enums are open: a newer value is read as its number and written again", () => {
    const bytes = toBinary(GoawaySchema, create(GoawaySchema, { reason: 99 as never }));
    const read = fromBinary(GoawaySchema, bytes);
    assert.equal(Number(read.reason), 99);
    assert.deepEqual(toBinary(GoawaySchema, read), bytes);
  });

  test("an absent cursor and a cursor of 0 differ", () => {
    const absent = fromBinary(DeltaSchema, toBinary(DeltaSchema, create(DeltaSchema, { to: 1n })));
    const zero = fromBinary(DeltaSchema, toBinary(DeltaSchema, create(DeltaSchema, { from: 0n, to: 1n })));
    assert.deepEqual([absent.from, zero.from], [undefined, 0n]);
  });

  test("ids are 64 bits unsigned", () => {
    const delta = create(DeltaSchema, { to: 1n, removed: [1n, 2n ** 63n, 2n ** 64n - 1n] });
    assert.deepEqual(fromBinary(DeltaSchema, toBinary(DeltaSchema, delta)).removed, delta.removed);
  });
});

describe("a delta", () => {
  const head = create(DeltaSchema, {
    from: 41n,
    to: 42n,
    part: 0,
    parts: 1,
    massRemovalConfirmed: true,
    removed: [7n, 8n],
  });
  const whole = create(DeltaSchema, { ...head, resources: resourceBytes });

  test("is the bytes of its head and of its cached resources, one after the other", () => {
    const tag = (bytes: Uint8Array): Uint8Array =>
      new BinaryWriter().tag(9, WireType.LengthDelimited).bytes(bytes).finish();
    const assembled = concat(toBinary(DeltaSchema, head), ...resourceBytes.map(tag));
    assert.deepEqual(assembled, toBinary(DeltaSchema, whole));
    const read = fromBinary(DeltaSchema, assembled);
    assert.deepEqual(read.resources, resourceBytes);
  });

  test("in two encoded halves reads as one", () => {
    const halves = resourceBytes.map((bytes) => toBinary(DeltaSchema, create(DeltaSchema, { resources: [bytes] })));
    assert.deepEqual(fromBinary(DeltaSchema, concat(toBinary(DeltaSchema, head), ...halves)).resources, resourceBytes);
  });

  test("gives its resources back byte for byte, unknown fields and odd encodings included", () => {
    const odd = concat(
      unknownFields,
      ...fieldsOf(resourceBytes[0] ?? new Uint8Array())
        .map(({ bytes }) => bytes)
        .toReversed(),
    );
    const bytes = toBinary(DeltaSchema, create(DeltaSchema, { to: 1n, resources: [odd] }));
    assert.deepEqual(fromBinary(DeltaSchema, bytes).resources, [odd]);
  });
});

describe("grpc-js definitions", () => {
  const sync = methodDefinition(DiscoveryService.method.sync);

  test("have the path and the directions of the method", () => {
    assert.equal(sync.path, "/weft.discovery.v1.DiscoveryService/Sync");
    assert.deepEqual([sync.requestStream, sync.responseStream], [true, true]);
    assert.deepEqual(Object.keys(serviceDefinition(DiscoveryService)), ["sync"]);
  });

  test("send encoded bytes as they are, and messages encoded", () => {
    const raw = sync.responseSerialize(responseBytes);
    assert.equal(raw.buffer, responseBytes.buffer);
    assert.deepEqual(new Uint8Array(raw), responseBytes);
    assert.deepEqual(new Uint8Array(sync.responseSerialize(response)), responseBytes);
    const within = concat(Uint8Array.of(1, 2, 3), responseBytes, Uint8Array.of(4)).subarray(3, -1);
    assert.deepEqual(new Uint8Array(sync.responseSerialize(within)), responseBytes);
  });

  test("throw on what cannot be decoded", () => {
    assert.throws(() => sync.requestDeserialize(Buffer.from([0xff])));
    assert.throws(() => sync.responseDeserialize(Buffer.from(responseBytes.subarray(0, 5))));
  });
});
