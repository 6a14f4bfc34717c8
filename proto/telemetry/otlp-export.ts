/**
 * Spans to an OTLP collector, by OpenTelemetry's SDK: the one file that knows it. Nothing here runs in the turn in which a span
 * ends but a count and a push. A collector that is away costs a bounded queue and one line in the log.
 */
import diagnostics from "node:diagnostics_channel";
import type { ClientRequest, IncomingMessage } from "node:http";
import { SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { HrTime } from "@opentelemetry/api";
import { ExportResultCode, setGlobalErrorHandler } from "@opentelemetry/core";
import type { ExportResult } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { Resource } from "@opentelemetry/resources";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import { messageOf } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Counter } from "@weft/proto/program/metrics.ts";
import { version } from "@weft/proto/program/version.ts";
import type { Tracing, TracingOptions } from "./open-tracing.ts";
import type { Span } from "./span.ts";

/** Spans that wait or are under way; later ones are dropped and counted. */
export const spansMax = 8_192;
const batchSpansMax = 512;
const batchDelayMs = 1_000;
/** Of one batch, with the exporter's own retries. */
const exportMsMax = 10_000;
/** The SDK gives a batch up a little later than we do: its own limits hold for silence, and not before there is a connection. */
const sdkExportMsMax = 11_000;
/** At the end of the program. */
const closeMsMax = 2_000;

const kinds = { internal: SpanKind.INTERNAL, producer: SpanKind.PRODUCER, consumer: SpanKind.CONSUMER } as const;

export class OtlpExport implements Tracing {
  readonly #log: Log;
  readonly #url: string;
  readonly #resource: Resource;
  readonly #processor: BatchSpanProcessor;
  readonly #exported: Counter;
  readonly #failed: Counter;
  readonly #dropped: Counter;
  /** The same as requests are asked. */
  readonly #asked: string;
  readonly #exportMsMax: number;
  #waiting = 0;
  // Said once, until it works again.
  #isBroken = false;
  // Of the last answer; the SDK does not say it.
  #status: string | undefined;

  constructor({ url, resource, log, metrics, limitMs = exportMsMax }: TracingOptions & { readonly limitMs?: number }) {
    this.#log = log;
    this.#url = url;
    const { protocol, host, pathname, search } = new URL(url);
    this.#asked = `${protocol}//${host}${pathname}${search}`;
    this.#exportMsMax = limitMs;
    this.#resource = resourceFromAttributes({ ...resource, "service.version": version });
    const spans = metrics.counterWith(
      { name: "weft_trace_spans_total", help: "Spans of traces, by what became of them." },
      ["result"],
    );
    [this.#exported, this.#failed, this.#dropped] = [
      spans.with("exported"),
      spans.with("failed"),
      spans.with("dropped"),
    ];
    // A batch that failed is counted and said below; the default handler would print each.
    setGlobalErrorHandler(() => undefined);
    diagnostics.subscribe("http.client.response.finish", this.#hearAnswer);
    this.#processor = new BatchSpanProcessor({
      exporter: this.#counted(new OTLPTraceExporter({ url, timeoutMillis: exportMsMax })),
      maxQueueSize: spansMax,
      maxExportBatchSize: batchSpansMax,
      scheduledDelayMillis: batchDelayMs,
      exportTimeoutMillis: sdkExportMsMax,
    });
  }

  add(spans: readonly Span[]): void {
    for (const span of spans) {
      if (this.#waiting >= spansMax) {
        this.#dropped.inc();
        continue;
      }
      this.#waiting++;
      this.#processor.onEnd(readable(span, this.#resource));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, closeMsMax);
    await Promise.race([this.#processor.shutdown().catch(() => undefined), promise]);
    clearTimeout(timer);
    diagnostics.unsubscribe("http.client.response.finish", this.#hearAnswer);
  }

  readonly #hearAnswer = (message: unknown): void => {
    const { request, response } = message as { readonly request: ClientRequest; readonly response: IncomingMessage };
    const asked = `${request.protocol}//${String(request.getHeader("host"))}${request.path}`;
    if (request.method === "POST" && asked === this.#asked)
      this.#status = `${response.statusCode} ${response.statusMessage}`.trimEnd();
  };

  #counted(inner: SpanExporter): SpanExporter {
    const taken = (spans: number, result: ExportResult): void => {
      this.#waiting -= spans;
      if (result.code === ExportResultCode.SUCCESS) {
        this.#exported.inc(spans);
        if (this.#isBroken) this.#log.info("traces are exported again", { url: this.#url });
        this.#isBroken = false;
        return;
      }
      this.#failed.inc(spans);
      if (this.#isBroken) return;
      this.#isBroken = true;
      const error = result.error === undefined ? "no reason given" : messageOf(result.error);
      const answered = this.#status === undefined ? {} : { answered: this.#status };
      this.#log.warn("traces are not exported; nothing else waits for that, said once", {
        url: this.#url,
        error,
        ...answered,
      });
    };
    return {
      export: (spans, answer) => {
        let isTold = false;
        const tell = (result: ExportResult): void => {
          clearTimeout(timer);
          if (isTold) return;
          isTold = true;
          taken(spans.length, result);
          answer(result);
        };
        const timer = setTimeout(() => {
          const error = new Error(`no connection, or no whole answer, within ${this.#exportMsMax / 1_000} s`);
          tell({ code: ExportResultCode.FAILED, error });
        }, this.#exportMsMax).unref();
        this.#status = undefined;
        inner.export(spans, tell);
      },
      shutdown: () => inner.shutdown(),
    };
  }
}

function readable(span: Span, resource: Resource): ReadableSpan {
  const { traceId, spanId, parentId, startUs, problem } = span;
  // A clock that was set back between two readings must not make a span that ends before it begins.
  const endUs = Math.max(startUs, span.endUs);
  const context = { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
  return {
    name: span.name,
    kind: kinds[span.kind],
    spanContext: () => context,
    ...(parentId === undefined
      ? {}
      : { parentSpanContext: { traceId, spanId: parentId, traceFlags: TraceFlags.SAMPLED } }),
    startTime: hrTime(startUs),
    endTime: hrTime(endUs),
    duration: hrTime(endUs - startUs),
    status: problem === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: problem },
    attributes: span.attributes,
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: { name: "weft", version },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function hrTime(us: number): HrTime {
  const seconds = Math.floor(us / 1e6);
  return [seconds, Math.round((us - seconds * 1e6) * 1e3)];
}
