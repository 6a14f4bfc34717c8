/** One finished span of a trace, before any tracing library has seen it: plain values, so that nothing of one is loaded. */

export interface Span {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** 16 hex digits; undefined: the root. */
  readonly parentId: string | undefined;
  readonly name: string;
  /** `producer` and `consumer`: the two ends of what crosses from the control plane to a node. */
  readonly kind: "internal" | "producer" | "consumer";
  /** Unix microseconds. */
  readonly startUs: number;
  readonly endUs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** What went wrong; undefined: nothing. */
  readonly problem?: string;
}

/** Where finished spans go. Never waits and never throws: what does not fit is dropped and counted. */
export interface SpanSink {
  add(spans: readonly Span[]): void;
}
