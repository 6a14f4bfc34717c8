/** The context of a revision's trace, as it travels in a delta. Pure. */
import type { TraceContext as TraceContextMessage } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { million } from "./trace-id.ts";

export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits: what spans of nodes hang below. */
  readonly spanId: string;
  /** Share of the nodes that take part. */
  readonly nodesPerMillion: number;
}

/** Undefined if it is no valid context: a trace is not worth a stream. */
export function readTraceContext(of: TraceContextMessage): TraceContext | undefined {
  const traceId = printHex(of.traceId);
  const spanId = printHex(of.spanId);
  if (traceId.length !== 32 || spanId.length !== 16 || isZero(traceId) || isZero(spanId)) return undefined;
  return { traceId, spanId, nodesPerMillion: of.nodesPerMillion === 0 ? million : of.nodesPerMillion };
}

/** 0 on the wire is all nodes. */
export function wireNodesPerMillion({ nodesPerMillion }: TraceContext): number {
  return nodesPerMillion >= million ? 0 : Math.max(1, Math.round(nodesPerMillion));
}

export function parseHex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

function printHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isZero(hex: string): boolean {
  return /^0*$/.test(hex);
}
