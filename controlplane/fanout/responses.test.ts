import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { NodeViewSchema, SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { encodeSmallResponse } from "./responses.ts";
import type { SmallResponse } from "./responses.ts";
import { streamLimits } from "./stream-limits.ts";

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

test("a greeting that was made before is given again only if all of it is the same", () => {
  const welcome = { epoch: epoch(5, 5), historyKind: "memory", limits: streamLimits, version: "0.1.0" } as const;
  const nodeView = create(NodeViewSchema, { zone: "zone-a" });
  const greeting: SmallResponse = { welcome, nodeView, synced: revision(3) };
  const others: readonly SmallResponse[] = [
    { ...greeting, welcome: { ...welcome, epoch: epoch(6, 5) } },
    { ...greeting, welcome: { ...welcome, historyKind: "redis" } },
    { ...greeting, welcome: { ...welcome, limits: { ...streamLimits, heartbeatMs: 1 } } },
    { ...greeting, welcome: { ...welcome, version: "0.2.0" } },
    { ...greeting, nodeView: create(NodeViewSchema, { zone: "zone-b" }) },
    { ...greeting, synced: revision(4) },
    { ...greeting, synced: undefined },
    { ...greeting, heartbeat: { sequence: 1, revision: revision(3), digest: 7n, isSynced: true } },
    { ...greeting, digestQuery: { allBuckets: true, buckets: [] } },
    { welcome },
    { nodeView, synced: revision(3) },
  ];
  const first = encodeSmallResponse(greeting);
  assert.equal(encodeSmallResponse({ ...greeting }), first, "the same bytes, not equal ones");
  for (const other of others) {
    assert.notDeepEqual(encodeSmallResponse(other), first);
    // What others were told leaves it as it was.
    assert.deepEqual(encodeSmallResponse(greeting), first);
  }
});
