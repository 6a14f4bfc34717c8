/** Follows traced revisions through this node: from a delta's first part to the ack that covers it. Made only if traces are exported. */
import type { Delta } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { SpanSink } from "@weft/proto/telemetry/span.ts";
import { readTraceContext } from "@weft/proto/telemetry/trace-context.ts";
import { takesPart } from "@weft/proto/telemetry/trace-id.ts";
import { roundSpans } from "./round-trace.ts";
import type { ReceivedTrace, TracedRound } from "./round-trace.ts";

/** Rounds that no ack covered yet, as while no control plane is there; the oldest is told without one. */
const unackedMax = 16;

export class RoundTracer {
  readonly #node: string;
  readonly #sink: SpanSink;
  readonly #originMs: () => number;
  readonly #unacked: TracedRound[] = [];

  /** @param originMs Unix milliseconds of `performance.now()` 0, by the clock as it is set now. */
  constructor(node: string, sink: SpanSink, originMs: () => number) {
    this.#node = node;
    this.#sink = sink;
    this.#originMs = originMs;
  }

  /** A part came. @param before Of the parts before it. @returns Undefined: not traced here. */
  received(delta: Delta, nowMs: number, before: ReceivedTrace | undefined): ReceivedTrace | undefined {
    const bytes = (from: number): number => delta.resources.reduce((sum, { length }) => sum + length, from);
    const { length: puts } = delta.resources;
    const { length: removals } = delta.removed;
    if (delta.part > 0) {
      return (
        before && {
          ...before,
          puts: before.puts + puts,
          removals: before.removals + removals,
          bytes: bytes(before.bytes),
        }
      );
    }
    const context = delta.trace === undefined || delta.from === undefined ? undefined : readTraceContext(delta.trace);
    if (context === undefined || !takesPart(context.traceId, this.#node, context.nodesPerMillion)) return undefined;
    return { context, revision: Number(delta.to), receivedAtMs: nowMs, puts, removals, bytes: bytes(0) };
  }

  activated(round: TracedRound): void {
    this.#unacked.push(round);
    if (this.#unacked.length > unackedMax) this.#tell(this.#unacked.shift(), undefined);
  }

  /** An ack of this revision, 0 for none, was handed to the stream. */
  acked(revision: number, nowMs: number): void {
    while ((this.#unacked[0]?.cursor.revision ?? Infinity) <= revision) this.#tell(this.#unacked.shift(), nowMs);
  }

  #tell(round: TracedRound | undefined, ackedAtMs: number | undefined): void {
    if (round !== undefined) this.#sink.add(roundSpans(this.#node, round, ackedAtMs, this.#originMs()));
  }
}
