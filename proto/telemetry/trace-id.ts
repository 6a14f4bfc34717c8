/**
 * Which revisions and which nodes are traced. Everybody who knows a cursor, the share and a node's name comes to the same answer;
 * nothing is kept and nothing is random. SHA-256, as nodes and revisions are few and their names are alike.
 */
import { hash } from "node:crypto";
import { printCursor } from "@weft/proto/cursor.ts";
import type { Cursor } from "@weft/proto/cursor.ts";

/** All nodes. */
export const million = 1_000_000;

/** 32 hex digits, of which any 56 bits are as good as random (W3C Trace Context level 2). */
export function traceIdOf(cursor: Cursor): string {
  return hash("sha256", `trace\0${printCursor(cursor)}`).slice(0, 32);
}

/** 16 hex digits. @param what Names the span within its trace. */
export function spanIdOf(traceId: string, what: string): string {
  return hash("sha256", `span\0${traceId}\0${what}`).slice(0, 16);
}

/** @param ratio Share of the revisions, 0 to 1. The rule of OpenTelemetry's consistent probability sampling: the last 56 bits. */
export function isSampled(traceId: string, ratio: number): boolean {
  return Number.parseInt(traceId.slice(-14), 16) / 2 ** 56 < ratio;
}

/** True if this node exports its part of the trace. @param perMillion Share of the nodes. */
export function takesPart(traceId: string, node: string, perMillion: number): boolean {
  if (perMillion >= million) return true;
  const bits = Number.parseInt(hash("sha256", `node\0${traceId}\0${node}`).slice(0, 8), 16);
  return bits / 2 ** 32 < perMillion / million;
}
