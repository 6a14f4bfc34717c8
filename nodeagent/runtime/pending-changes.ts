/** What waits for the next round: conflated, so bounded by the number of resources. Pure. */
import type { Cursor } from "@weft/proto/cursor.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { mergeTriggers, noTriggers } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import type { HeldResource } from "../sync/received-resource.ts";
import type { StoreChange } from "../sync/store.ts";
import { newestTraces } from "./round-trace.ts";
import type { ReceivedTrace } from "./round-trace.ts";

export interface PendingChanges {
  readonly touched: Set<string>;
  readonly puts: Map<ResourceId, HeldResource>;
  readonly removed: Set<ResourceId>;
  cursor: Cursor | undefined;
  /** `performance.now()` when the last part of the newest delta was received. */
  receivedAtMs: number | undefined;
  /** `performance.now()` when the first of it came. */
  sinceMs: number | undefined;
  /** Changes of Services and of Backends, each counted as often as it came. */
  serviceChanges: number;
  backendChanges: number;
  /** Of the deltas that wait. */
  triggers: TriggerTimes;
  /** Of the deltas that wait and are traced here, oldest first, the newest `tracesMax`. */
  traces: readonly ReceivedTrace[];
  isNodeChanged: boolean;
  isViewChanged: boolean;
}

export function emptyPending(): PendingChanges {
  return {
    touched: new Set(),
    puts: new Map(),
    removed: new Set(),
    cursor: undefined,
    receivedAtMs: undefined,
    sinceMs: undefined,
    serviceChanges: 0,
    backendChanges: 0,
    triggers: noTriggers,
    traces: [],
    isNodeChanged: false,
    isViewChanged: false,
  };
}

export function mergeChange(pending: PendingChanges, change: StoreChange): void {
  for (const id of change.removed) {
    pending.puts.delete(id);
    pending.removed.add(id);
  }
  for (const [id, resource] of change.puts) {
    pending.removed.delete(id);
    pending.puts.set(id, resource);
  }
  for (const name of change.touched) pending.touched.add(name);
  pending.serviceChanges += change.serviceChanges;
  pending.backendChanges += change.backendChanges;
}

/** What was taken waits again, below what came meanwhile. */
export function mergePending(taken: PendingChanges, newer: PendingChanges): void {
  mergeChange(taken, { ...newer, removed: [...newer.removed] });
  taken.cursor = newer.cursor ?? taken.cursor;
  taken.receivedAtMs = newer.receivedAtMs ?? taken.receivedAtMs;
  taken.sinceMs ??= newer.sinceMs;
  taken.triggers = mergeTriggers(taken.triggers, newer.triggers);
  taken.traces = newestTraces([...taken.traces, ...newer.traces]);
  taken.isNodeChanged ||= newer.isNodeChanged;
  taken.isViewChanged ||= newer.isViewChanged;
}
