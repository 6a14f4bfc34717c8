import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DigestsSchema, SyncRequestSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Digests } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import fc from "fast-check";
import { readPlainDigests } from "./read-digests.ts";
import { reportedDigestsOf } from "./reported-digests.ts";

const max = (1n << 64n) - 1n;
// 0 is not on the wire.
const word = fc.oneof(fc.bigInt({ min: 1n, max }), fc.constantFrom(1n, 1n << 32n, max));
const answers = fc.record({
  revision: fc.oneof(fc.nat(300), fc.nat(2 ** 40)).map(BigInt),
  buckets: fc.array(fc.bigInt({ min: 0n, max }), { maxLength: 40 }),
  resources: fc.array(fc.record({ id: word, hash: word }), { maxLength: 40 }),
  last: fc.boolean(),
});

function encoded(value: Digests): Uint8Array {
  return toBinary(SyncRequestSchema, create(SyncRequestSchema, { message: { case: "digests", value } }));
}

/** As protobuf-es reads it; undefined: it is no answer, or not well-formed. */
function expected(bytes: Uint8Array): Digests | undefined {
  try {
    const { message } = fromBinary(SyncRequestSchema, bytes);
    return message.case === "digests" ? message.value : undefined;
  } catch {
    return undefined;
  }
}

test("an answer is read as protobuf-es reads it", () => {
  fc.assert(
    fc.property(answers, fc.nat(9), (answer, offset) => {
      const digests = create(DigestsSchema, answer);
      const bytes = encoded(digests);
      // Messages lie anywhere in what came from a socket.
      const apart = new Uint8Array(bytes.length + offset + 3);
      apart.set(bytes, offset);
      const read = readPlainDigests(apart.subarray(offset, offset + bytes.length));
      assert.deepEqual(read, reportedDigestsOf(digests));
    }),
    { numRuns: 1_000 },
  );
});

test("what is not as agents encode it is left to protobuf-es, or read as that reads it", () => {
  fc.assert(
    fc.property(
      answers,
      fc.array(fc.record({ at: fc.nat(), to: fc.nat(255), how: fc.constantFrom("set", "cut", "insert") }), {
        minLength: 1,
        maxLength: 3,
      }),
      (answer, changes) => {
        let bytes = encoded(create(DigestsSchema, answer));
        for (const { at, to, how } of changes) {
          const place = at % (bytes.length + 1);
          const rest = bytes.subarray(how === "set" ? place + 1 : place);
          bytes = how === "cut" ? bytes.slice(0, place) : Uint8Array.from([...bytes.subarray(0, place), to, ...rest]);
        }
        const read = readPlainDigests(bytes);
        if (read === undefined) return;
        const digests = expected(bytes);
        assert.ok(digests !== undefined, "it is malformed");
        assert.deepEqual(read, reportedDigestsOf(digests));
      },
    ),
    { numRuns: 5_000 },
  );
});

test("ids and hashes of 0 are not on the wire: protobuf-es reads them", () => {
  const bytes = encoded(create(DigestsSchema, { resources: [{ id: 0n, hash: 5n }], last: true }));
  assert.equal(readPlainDigests(bytes), undefined);
});
