import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { AckSchema, SyncRequestSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { readPlainAck } from "./read-ack.ts";

const number = fc.oneof(fc.maxSafeNat().map(BigInt), fc.nat(300).map(BigInt));
const uint32 = fc.oneof(fc.nat(0xffff_ffff), fc.nat(200));
const plain: fc.Arbitrary<MessageInitShape<typeof AckSchema>> = fc.record(
  {
    revision: number,
    appliedAtUs: number,
    durations: fc.record({ receivedToActiveUs: uint32, planUs: uint32, stageUs: uint32, persistUs: uint32 }),
    digest: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    heartbeat: number,
    counts: fc.record({ services: uint32, backends: uint32 }),
  },
  { requiredKeys: [] },
);

function encoded(ack: MessageInitShape<typeof AckSchema>): Uint8Array {
  const message = { case: "ack", value: create(AckSchema, ack) } as const;
  return toBinary(SyncRequestSchema, create(SyncRequestSchema, { message }));
}

/** As protobuf-es reads it; undefined: it is no ack, or not well-formed. */
function expected(bytes: Uint8Array): Ack | undefined {
  try {
    const { message } = fromBinary(SyncRequestSchema, bytes);
    return message.case === "ack" ? message.value : undefined;
  } catch {
    return undefined;
  }
}

// Only what an ack says: protobuf-es keeps defaults on a prototype.
function assertSame(actual: Ack, of: Ack | undefined): void {
  assert.ok(of !== undefined);
  assert.deepEqual({ ...create(AckSchema), ...actual }, { ...create(AckSchema), ...of });
  assert.deepEqual(toBinary(AckSchema, create(AckSchema, actual)), toBinary(AckSchema, of));
}

test("an ack without failures and addresses is read as protobuf-es reads it", () => {
  fc.assert(
    fc.property(plain, (ack) => {
      const bytes = encoded(ack);
      const read = readPlainAck(bytes);
      assert.ok(read !== undefined, "an ack of a healthy node is plain");
      assertSame(read, expected(bytes));
    }),
    { numRuns: 2_000 },
  );
});

const others: readonly (readonly [string, MessageInitShape<typeof AckSchema>])[] = [
  ["failures", { revision: 1n, failures: [{ service: "a/b", reason: "full" }], failuresTotal: 1 }],
  ["a number of failures", { revision: 1n, failuresTotal: 2 }],
  ["addresses", { revision: 1n, addresses: { addresses: [Uint8Array.of(10, 0, 0, 1)] } }],
  ["a number beyond 2^53", { revision: 1n << 60n }],
];
for (const [name, ack] of others) {
  test(`an ack with ${name} is left to protobuf-es`, () => assert.equal(readPlainAck(encoded(ack)), undefined));
}

test("whatever comes is read as protobuf-es reads it, or left to it", () => {
  const change = fc.record({ at: fc.nat(126), to: fc.nat(255), cut: fc.nat(8) });
  let plainOnes = 0;
  fc.assert(
    fc.property(plain, fc.array(change, { minLength: 1, maxLength: 3 }), (ack, changes) => {
      let bytes = encoded(ack).slice();
      for (const { at, to, cut } of changes) {
        if (cut < 2) bytes = bytes.slice(0, Math.max(2, bytes.length - cut));
        if (bytes.length > 2) bytes[2 + (at % (bytes.length - 2))] = to;
        // The length inside is that of the message, so that the reader looks further.
        bytes[1] = bytes.length - 2;
      }
      const read = readPlainAck(bytes);
      if (read === undefined) return;
      plainOnes++;
      assertSame(read, expected(bytes));
    }),
    { numRuns: 5_000 },
  );
  assert.ok(plainOnes > 100, `only ${plainOnes} were read`);
});
