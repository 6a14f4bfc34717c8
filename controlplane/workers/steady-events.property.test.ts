import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { revision } from "@weft/proto/cursor.ts";
import { AckSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { SteadyEvents, isSteadyAck, readSteadyEvents } from "./steady-events.ts";

const number = fc.oneof(fc.maxSafeNat(), fc.nat(3));
const uint64 = number.map(BigInt);
const uint32 = fc.oneof(fc.nat(0xffff_ffff), fc.nat(3));
const ack: fc.Arbitrary<MessageInitShape<typeof AckSchema>> = fc.record(
  {
    revision: uint64,
    appliedAtUs: uint64,
    durations: fc.record({ receivedToActiveUs: uint32, planUs: uint32, stageUs: uint32, persistUs: uint32 }),
    digest: fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.constant(1n), fc.constant(1n << 63n)),
    heartbeat: uint64,
    counts: fc.record({ services: uint32, backends: uint32 }),
  },
  { requiredKeys: [] },
);
const event = fc.oneof(
  fc.record({ kind: fc.constant("sent" as const), connection: uint32, revision: number }),
  fc.record({
    kind: fc.constant("acked" as const),
    connection: uint32,
    ack,
    roundTripUs: fc.option(uint32, { nil: undefined }),
    nowUs: number,
  }),
);

// Encoded, so that only what an ack says is compared.
function printAcked(connection: number, of: Ack, roundTripUs: number | undefined, nowUs: number): string {
  const bytes = Buffer.from(toBinary(AckSchema, of)).toString("hex");
  return `${connection} acked ${bytes} ${roundTripUs} ${nowUs}`;
}

test("what is read is what was told, in order", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const told: string[] = [];
      const steady = new SteadyEvents();
      for (const each of events) {
        if (each.kind === "sent") {
          steady.sent(each.connection, revision(each.revision));
          told.push(`${each.connection} sent ${each.revision}`);
          continue;
        }
        const message = create(AckSchema, each.ack);
        assert.ok(isSteadyAck(message));
        steady.acked(each.connection, message, each.roundTripUs, each.nowUs);
        told.push(printAcked(each.connection, message, each.roundTripUs, each.nowUs));
      }
      const read: string[] = [];
      readSteadyEvents(structuredClone(steady.numbers), {
        sent: (connection, to) => read.push(`${connection} sent ${to}`),
        acked: (connection, of, roundTripUs, nowUs) =>
          read.push(printAcked(connection, create(AckSchema, of), roundTripUs, nowUs)),
      });
      assert.deepEqual(read, told);
    }),
  );
});

const others: readonly [name: string, ack: MessageInitShape<typeof AckSchema>][] = [
  ["with a failure", { failures: [{ service: "a/b" }] }],
  ["with failures that it does not list", { failuresTotal: 1 }],
  ["with addresses", { addresses: {} }],
  ["with a number that is not exact", { appliedAtUs: 1n << 53n }],
];
for (const [name, init] of others) {
  test(`an ack ${name} is told otherwise`, () => assert.equal(isSteadyAck(create(AckSchema, init)), false));
}
