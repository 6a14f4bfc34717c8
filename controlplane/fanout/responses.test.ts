import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { revision } from "@weft/proto/cursor.ts";
import { SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { encodeSmallResponse } from "./responses.ts";

const numbers = [0, 1, 127, 128, 300, 2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
const digests = [undefined, 0n, 1n, 0x0123_4567_89ab_cdefn, (1n << 64n) - 1n];

test("a heartbeat has the bytes that protobuf-es would give it", () => {
  for (const sequence of numbers)
    for (const head of numbers)
      for (const digest of digests)
        for (const isSynced of [false, true]) {
          const expected = create(SyncResponseSchema, {
            heartbeat: {
              sequence: BigInt(sequence),
              revision: BigInt(head),
              synced: isSynced,
              ...(digest !== undefined && { digest }),
            },
          });
          const heartbeat = { sequence, revision: revision(head), digest, isSynced };
          assert.deepEqual(
            Uint8Array.from(encodeSmallResponse({ heartbeat })),
            toBinary(SyncResponseSchema, expected),
            `${sequence} ${head} ${digest} ${isSynced}`,
          );
        }
});
