/** Reads what a control plane says into events of the sync state. Pure. */
import { toBinary } from "@bufbuild/protobuf";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { LogKind, NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Delta, Goaway, NodeView, Synced, Welcome } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { isPrefix } from "./received-resource.ts";
import type { DeltaScope, Removal, SyncEvent } from "./sync-state.ts";

const failuresMaxDefault = 1_000;
const messageBytesMaxDefault = 1_024 * 1_024;
/** What is said goes into one line of the log. */
const goawayCharactersMax = 500;

/** Most failures that an ack may carry. */
export function failuresMaxOf(welcome: Welcome): number {
  const asked = welcome.limits?.failuresMax ?? 0;
  return asked === 0 ? failuresMaxDefault : Math.min(asked, failuresMaxDefault);
}

/** Largest message that the control plane reads. */
export function messageBytesMaxOf(welcome: Welcome): number {
  const told = welcome.limits?.messageBytesMax ?? 0;
  return told === 0 ? messageBytesMaxDefault : told;
}

export function welcomeEvent(welcome: Welcome): SyncEvent {
  return guarded("Welcome", () => ({
    kind: "welcome",
    epoch: epoch(welcome.epoch?.createdMs ?? 0n, welcome.epoch?.random ?? 0),
    isMemoryLog: welcome.logKind === LogKind.MEMORY,
    heartbeatMs: welcome.limits?.heartbeatMs ?? 0,
    protocol: welcome.protocol,
  }));
}

export function nodeViewEvent(view: NodeView): SyncEvent {
  const wrong = view.serviceCidrs.findIndex((range) => !isPrefix(range));
  return wrong < 0
    ? { kind: "node-view" }
    : { kind: "malformed", reason: `NodeView: service CIDR ${wrong} is no range` };
}

/** What a delta comes to if the part that came completes it. */
export interface Outcome {
  readonly removal: Removal;
  /** What a repair touches outside its buckets. */
  readonly stray: string | undefined;
}

/** @param malformed Why the part cannot be read; undefined: it can. */
export function deltaEvent(delta: Delta, malformed: string | undefined, { removal, stray }: Outcome): SyncEvent {
  return guarded("Delta", () => ({
    kind: "delta",
    from: delta.from === undefined ? undefined : revision(delta.from),
    to: revision(delta.to),
    part: delta.part,
    parts: Math.max(1, delta.parts),
    scope: scopeOf(delta),
    buckets: scopeOf(delta) === "buckets" ? [...(delta.scope?.buckets ?? [])] : [],
    isConfirmed: delta.massRemovalConfirmed,
    stray,
    removal,
    malformed,
  }));
}

export function syncedEvent(synced: Synced): SyncEvent {
  return guarded("Synced", () => ({ kind: "synced", revision: revision(synced.revision) }));
}

export function goawayEvent({ retryAfterMs, message }: Goaway): SyncEvent {
  return { kind: "goaway", retryAfterMs, message: message.slice(0, goawayCharactersMax) };
}

export function scopeOf(delta: Delta): DeltaScope {
  if (delta.scope === undefined) return "since";
  return delta.scope.everything ? "everything" : "buckets";
}

/** True if both say the same of the node, unknown fields included. */
export function isSameView(a: NodeView | undefined, b: NodeView | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const bytes = toBinary(NodeViewSchema, a);
  const others = toBinary(NodeViewSchema, b);
  return bytes.length === others.length && bytes.every((byte, i) => byte === others[i]);
}

function guarded(message: string, read: () => SyncEvent): SyncEvent {
  try {
    return read();
  } catch (error) {
    return { kind: "malformed", reason: `${message}: ${error instanceof Error ? error.message : String(error)}` };
  }
}
