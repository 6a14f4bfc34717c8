/** Flags of every program that exports traces, and what OpenTelemetry's own variables say instead. */
import { single } from "@weft/proto/program/flags.ts";
import type { Parsed, Values } from "@weft/proto/program/flags.ts";

export const tracingFlags = {
  otlpEndpoint: single({
    value: "URL",
    parse: parseEndpoint,
    help: "Export traces to this OTLP collector (HTTP/protobuf, /v1/traces is added). Default: OTEL_EXPORTER_OTLP_ENDPOINT; none: no traces.",
  }),
} as const;

/** The address that spans are posted to; undefined: no traces are wanted. */
export function tracesUrl(
  { otlpEndpoint }: Values<typeof tracingFlags>,
  variables: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const isOff =
    variables["OTEL_SDK_DISABLED"]?.toLowerCase() === "true" || variables["OTEL_TRACES_EXPORTER"] === "none";
  if (otlpEndpoint !== undefined) return withTracesPath(otlpEndpoint);
  if (isOff) return undefined;
  const exact = valid(variables["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]);
  if (exact !== undefined) return exact;
  const base = valid(variables["OTEL_EXPORTER_OTLP_ENDPOINT"]);
  return base === undefined ? undefined : withTracesPath(base);
}

function withTracesPath(base: string): string {
  return `${base.replace(/\/+$/, "")}/v1/traces`;
}

function parseEndpoint(given: string): Parsed<string> {
  const url = valid(given);
  return url === undefined
    ? { ok: false, problem: "give a URL such as http://127.0.0.1:4318" }
    : { ok: true, value: url };
}

function valid(given: string | undefined): string | undefined {
  if (given === undefined || !URL.canParse(given)) return undefined;
  return /^https?:$/.test(new URL(given).protocol) ? given : undefined;
}
