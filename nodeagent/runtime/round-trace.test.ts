import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { DeltaSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Delta } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Span } from "@weft/proto/telemetry/span.ts";
import { parseHex } from "@weft/proto/telemetry/trace-context.ts";
import { takesPart } from "@weft/proto/telemetry/trace-id.ts";
import { emptyPending, mergePending } from "./pending-changes.ts";
import { newestTraces, tracesMax } from "./round-trace.ts";
import type { ReceivedTrace, TracedRound } from "./round-trace.ts";
import { RoundTracer } from "./round-tracer.ts";

const history = epoch(1_763_881_972_000, 7);
const parent = "00000000000000aa";
const traceIdAt = (of: number): string => of.toString(16).padStart(32, "f");

function delta(
  of: number,
  more: { readonly part?: number; readonly parts?: number; readonly share?: number } = {},
): Delta {
  const { part = 0, parts = 1, share = 0 } = more;
  return create(DeltaSchema, {
    from: BigInt(of - 1),
    to: BigInt(of),
    part,
    parts,
    ...(part === 0
      ? { trace: { traceId: parseHex(traceIdAt(of)), spanId: parseHex(parent), nodesPerMillion: share } }
      : {}),
    removed: [1n],
    resources: [new Uint8Array(10), new Uint8Array(5)],
  });
}

function tracer(): { readonly tracer: RoundTracer; readonly spans: Span[] } {
  const spans: Span[] = [];
  return { tracer: new RoundTracer("n1", { add: (more) => void spans.push(...more) }, () => 0), spans };
}

function round(traces: readonly ReceivedTrace[], at: number): TracedRound {
  const times = { startMs: 20, plannedMs: 30, stagedMs: 40, persistedMs: 50, activeMs: 60 };
  return { traces, cursor: { epoch: history, revision: revision(at) }, times, services: 3, failures: 0 };
}

const told = (spans: readonly Span[]): readonly string[] =>
  spans.map(
    ({ name, traceId, startUs, endUs }) =>
      `${Number.parseInt(traceId.slice(-2), 16) & 0x0f} ${name} ${startUs / 1_000}-${endUs / 1_000}`,
  );

const steps = (of: number): readonly string[] => [
  `${of} receive 10-20`,
  `${of} plan 20-30`,
  `${of} stage 30-40`,
  `${of} persist 40-50`,
  `${of} activate 50-60`,
];

describe("a node's part of a trace", () => {
  test("is told with the first ack that covers it, and not before", () => {
    const { tracer: of, spans } = tracer();
    const received = of.received(delta(2), 10, undefined);
    assert.ok(received !== undefined);
    of.activated(round([received], 2));
    of.acked(0, 65);
    of.acked(1, 66);
    assert.equal(spans.length, 0);
    of.acked(2, 70);
    assert.deepEqual(told(spans), ["2 node 10-70", ...steps(2), "2 ack 60-70"]);
    const [node, ...rest] = [...spans];
    assert.equal(node?.parentId, parent);
    assert.ok(rest.every(({ parentId }) => parentId === node?.spanId));
    of.acked(2, 80);
    assert.equal(spans.length, 7);
  });

  test("counts all parts of its delta, from the moment of the first", () => {
    const { tracer: of } = tracer();
    const first = of.received(delta(2, { parts: 2 }), 10, undefined);
    const both = of.received(delta(2, { part: 1, parts: 2 }), 15, first);
    assert.deepEqual([both?.receivedAtMs, both?.puts, both?.removals, both?.bytes], [10, 4, 2, 30]);
    assert.equal(of.received(delta(2, { part: 1, parts: 2 }), 15, undefined), undefined);
  });

  test("is shown by the round of all revisions that were taken together, bounded in their number", () => {
    const { tracer: of, spans } = tracer();
    const taken = emptyPending();
    const newer = emptyPending();
    const received = [2, 3, 4, 5, 6].flatMap((at) => of.received(delta(at), 10, undefined) ?? []);
    taken.traces = newestTraces(received.slice(0, 2));
    newer.traces = newestTraces(received.slice(2));
    mergePending(taken, newer);
    assert.equal(taken.traces.length, tracesMax);
    of.activated(round(taken.traces, 6));
    of.acked(6, 70);
    assert.deepEqual(
      told(spans.filter(({ name }) => name === "node")),
      [3, 4, 5, 6].map((at) => `${at} node 10-70`),
    );
    assert.ok(spans.filter(({ name }) => name === "node").every(({ attributes }) => attributes["weft.applied"] === 6));
  });

  test("goes out without an ack when too many rounds wait for one", () => {
    const { tracer: of, spans } = tracer();
    const received = of.received(delta(2), 10, undefined);
    assert.ok(received !== undefined);
    for (let at = 2; at <= 18; at++) of.activated(round([received], at));
    assert.deepEqual(told(spans), ["2 node 10-60", ...steps(2)]);
  });

  test("is none of snapshots, of malformed contexts, and of nodes that the trace id does not choose", () => {
    const { tracer: of } = tracer();
    const snapshot = delta(2);
    delete snapshot.from;
    assert.equal(of.received(snapshot, 10, undefined), undefined);
    const malformed = delta(2);
    assert.ok(malformed.trace !== undefined);
    malformed.trace.traceId = new Uint8Array(3);
    assert.equal(of.received(malformed, 10, undefined), undefined);
    for (let at = 2; at < 15; at++) {
      const isChosen = of.received(delta(at, { share: 500_000 }), 10, undefined) !== undefined;
      assert.equal(isChosen, takesPart(traceIdAt(at), "n1", 500_000));
    }
  });
});
