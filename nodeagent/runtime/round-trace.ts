/**
 * A node's part of a revision's trace, as spans:
 *
 *   node                first part received .. ack handed to the stream
 *     receive           .. planning began, the rounds before it included
 *     plan
 *     stage             into the dataplane, beside what is live
 *     persist           state on disk
 *     activate          the one store
 *     ack               .. handed to the stream
 *
 * A revision that was taken together with later ones is shown by the round of all of them. Pure.
 */
import { printCursor } from "@weft/proto/cursor.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import type { Span } from "@weft/proto/telemetry/span.ts";
import type { TraceContext } from "@weft/proto/telemetry/trace-context.ts";
import { spanIdOf } from "@weft/proto/telemetry/trace-id.ts";

/** Traces that one round tells of. */
export const tracesMax = 4;

/** A delta that is traced here. Moments are `performance.now()`. */
export interface ReceivedTrace {
  readonly context: TraceContext;
  readonly revision: number;
  /** Its first part came. */
  readonly receivedAtMs: number;
  readonly puts: number;
  readonly removals: number;
  /** Of its resources. */
  readonly bytes: number;
}

export interface TracedRound {
  readonly traces: readonly ReceivedTrace[];
  /** What it made live. */
  readonly cursor: Cursor;
  readonly times: {
    readonly startMs: number;
    readonly plannedMs: number;
    readonly stagedMs: number;
    readonly persistedMs: number;
    readonly activeMs: number;
  };
  /** Services planned. */
  readonly services: number;
  readonly failures: number;
}

export function newestTraces(traces: readonly ReceivedTrace[]): readonly ReceivedTrace[] {
  return traces.slice(-tracesMax);
}

/**
 * @param ackedAtMs Undefined: no ack of it was sent.
 * @param originMs Unix milliseconds of `performance.now()` 0.
 */
export function roundSpans(
  node: string,
  round: TracedRound,
  ackedAtMs: number | undefined,
  originMs: number,
): readonly Span[] {
  const { cursor, times, services, failures } = round;
  const us = (ms: number): number => (originMs + ms) * 1_000;
  return round.traces.flatMap((trace) => {
    const { traceId, spanId } = trace.context;
    // A node that restarts may take the same revision again.
    const idOf = (name: string): string => spanIdOf(traceId, `${node}\0${name}\0${us(trace.receivedAtMs)}`);
    const common = { traceId, kind: "internal" } as const;
    const steps = [
      ["receive", trace.receivedAtMs, times.startMs],
      ["plan", times.startMs, times.plannedMs],
      ["stage", times.plannedMs, times.stagedMs],
      ["persist", times.stagedMs, times.persistedMs],
      ["activate", times.persistedMs, times.activeMs],
      ...(ackedAtMs === undefined ? [] : ([["ack", times.activeMs, ackedAtMs]] as const)),
    ] as const;
    const whole: Span = {
      ...common,
      kind: "consumer",
      spanId: idOf("node"),
      parentId: spanId,
      name: "node",
      startUs: us(trace.receivedAtMs),
      endUs: us(ackedAtMs ?? times.activeMs),
      attributes: {
        "weft.node": node,
        "weft.cursor": printCursor({ epoch: cursor.epoch, revision: trace.revision as Cursor["revision"] }),
        "weft.revision": trace.revision,
        "weft.applied": cursor.revision,
        "weft.puts": trace.puts,
        "weft.removals": trace.removals,
        "weft.bytes": trace.bytes,
        "weft.services": services,
        "weft.failures": failures,
      },
      ...(failures === 0 ? {} : { problem: `${failures} services are not as planned; weft status names them` }),
    };
    return [
      whole,
      ...steps.map(([name, fromMs, toMs]) => ({
        ...common,
        spanId: idOf(name),
        parentId: whole.spanId,
        name,
        startUs: us(fromMs),
        endUs: us(toMs),
        attributes: { "weft.node": node },
      })),
    ];
  });
}
