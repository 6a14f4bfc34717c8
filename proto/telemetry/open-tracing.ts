/** Traces on demand: what exports them is loaded here and only here, when an address is given. */
import type { Log } from "@weft/proto/program/log.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import type { SpanSink } from "./span.ts";

export interface TracingOptions {
  /** Spans are posted to it. */
  readonly url: string;
  /** Who exports them: OpenTelemetry's resource attributes, such as `service.name`. */
  readonly resource: Readonly<Record<string, string>>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Closing exports what is left, for a bounded time. */
export interface Tracing extends SpanSink, AsyncDisposable {}

export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const { OtlpExport } = await import("./otlp-export.ts");
  return new OtlpExport(options);
}
