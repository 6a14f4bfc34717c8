import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import type { Address } from "@weft/proto/address.ts";
import { revision } from "@weft/proto/cursor.ts";
import { FailureCategory, FailureSchema, VersionsSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FleetStatusSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { FleetNode } from "./fleet-node.ts";
import { NodeStatusBytes } from "./node-status-bytes.ts";
import { nodeStatus } from "./node-status.ts";

const number = fc.oneof(fc.maxSafeNat(), fc.nat(300)).map(revision);
const uint32 = fc.oneof(fc.nat(0xffff_ffff), fc.nat(200));
// Around the lengths at which a length takes another byte, in ASCII and beyond it.
const text = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.nat(300).map((length) => "n".repeat(length)),
  fc.nat(100).map((length) => "é€".repeat(length)),
);
const failure = fc
  .record({ service: text, category: fc.constant(FailureCategory.KERNEL), reason: text })
  .map((init) => create(FailureSchema, init));
const versions = fc.record({ agent: text, kernel: text, dataplane: text }, { requiredKeys: [] });
const unknown = { no: 99, wireType: WireType.Varint, data: Uint8Array.of(5) };

const stream: fc.Arbitrary<FleetNode["stream"]> = fc.oneof(
  fc.constant({ kind: "never" as const }),
  fc.record({ kind: fc.constant("open" as const), instance: fc.constant(1n), peer: text, hasAcked: fc.boolean() }),
  fc.record({ kind: fc.constant("closed" as const), atMs: fc.constant(1), reason: text }),
);
const said = fc.record({
  stream,
  received: number,
  applied: number,
  failures: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, fc.array(failure, { maxLength: 20 })),
  // Why it is given no state counts as one more.
  failuresTotal: uint32.map((total) => Math.min(total, 0xffff_fffe)),
  heldReason: fc.option(text, { nil: undefined, freq: 4 }),
  versions: fc.option(
    fc.tuple(versions, fc.boolean()).map(([init, isNewer]) => {
      const message = create(VersionsSchema, init);
      if (isNewer) message.$unknown = [unknown];
      return message;
    }),
    { nil: undefined },
  ),
  addresses: fc.option(fc.array(text as fc.Arbitrary<Address>, { maxLength: 4 }), { nil: undefined }),
  roundTripUs: fc.option(uint32, { nil: undefined }),
  digest: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  seenMs: fc.oneof(fc.maxSafeNat(), fc.double({ min: 0, max: 1e13, noNaN: true })),
});
const listed = fc.tuple(text, fc.option(said, { nil: undefined, freq: 4 }));

test("the status of nodes is encoded as protobuf-es encodes it", () => {
  fc.assert(
    fc.property(fc.array(listed, { maxLength: 8 }), fc.maxSafeNat(), fc.nat(8), (nodes, beyond, expected) => {
      const head = revision(nodes.reduce((most, [, of]) => Math.max(most, of?.applied ?? 0), beyond));
      const entries = nodes.map(([name, of]) => ({
        name,
        node: of && Object.assign(new FleetNode(name, 0), { ...of, heldReason: of.heldReason }),
      }));
      const bytes = new NodeStatusBytes(expected);
      for (const { name, node } of entries) bytes.add(name, node, head);
      const message = create(FleetStatusSchema, {
        nodes: entries.map(({ name, node }) => nodeStatus(name, node, head)),
      });
      assert.deepEqual(Buffer.from(bytes.bytes), Buffer.from(toBinary(FleetStatusSchema, message)));
    }),
    { numRuns: 1_000 },
  );
});
