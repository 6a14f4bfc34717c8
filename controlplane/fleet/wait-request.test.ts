import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { epoch } from "@weft/proto/cursor.ts";
import { WaitRequestSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { drainedMax, readWaitRequest, waitTimeoutMsDefault, waitTimeoutMsMax } from "./wait-request.ts";

const current = epoch(5_000, 7);
const backend = { address: Uint8Array.of(10, 0, 0, 1), port: 80 };
const read = (request: MessageInitShape<typeof WaitRequestSchema>) =>
  readWaitRequest(create(WaitRequestSchema, request), current);

const invalid: readonly (readonly [field: string, request: MessageInitShape<typeof WaitRequestSchema>])[] = [
  ["cursor, drained", {}],
  ["cursor, drained", { cursor: { revision: 1n }, drained: [backend] }],
  ["cursor.revision", { cursor: { revision: 0n } }],
  ["cursor.revision", { cursor: { revision: 2n ** 60n } }],
  ["cursor.epoch.created_ms", { cursor: { revision: 1n, epoch: { createdMs: 2n ** 60n } } }],
  ["drained[1].address", { drained: [backend, { address: Uint8Array.of(1), port: 80 }] }],
  ["drained[0].port", { drained: [{ ...backend, port: 0 }] }],
  ["drained[0].port", { drained: [{ ...backend, port: 65_536 }] }],
  ["drained", { drained: Array.from({ length: drainedMax + 1 }, () => backend) }],
  ["quorum.nodes", { drained: [backend], quorum: { kind: { case: "nodes", value: 0 } } }],
  ["quorum.percent", { drained: [backend], quorum: { kind: { case: "percent", value: 0 } } }],
  ["quorum.percent", { drained: [backend], quorum: { kind: { case: "percent", value: 101 } } }],
  ["timeout_ms", { drained: [backend], timeoutMs: waitTimeoutMsMax + 1 }],
];

for (const [i, [field, request]] of invalid.entries()) {
  test(`a wait request is refused naming ${field} (${i})`, () => {
    const answer = read(request);
    assert.equal(answer.kind, "invalid");
    assert.ok(answer.kind === "invalid" && answer.problem.startsWith(`${field}:`), JSON.stringify(answer));
  });
}

test("defaults: the current epoch, every node, 30 s", () => {
  assert.deepEqual(read({ cursor: { revision: 4n } }), {
    kind: "wait",
    target: { kind: "revision", epoch: current, revision: 4 },
    quorum: { kind: "percent", percent: 100 },
    timeoutMs: waitTimeoutMsDefault,
  });
});

test("one backend named twice, or as IPv4 in IPv6, is one", () => {
  const mapped = { address: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1), port: 80 };
  const answer = read({ drained: [backend, backend, mapped] });
  assert.ok(answer.kind === "wait" && answer.target.kind === "drained");
  assert.deepEqual(answer.target.backends, [{ address: "10.0.0.1", port: 80 }]);
});
