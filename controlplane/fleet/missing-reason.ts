/** Whether a node has what a wait needs, and if not, why: one rule for counting and for the answer. */
import type { Revision } from "@weft/proto/cursor.ts";
import { FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { BackendAddress, ChoosabilityIndex } from "./choosability.ts";
import type { BlockingFailure, FleetNode } from "./fleet-node.ts";
import type { ServiceChanges } from "./service-changes.ts";

/** What a node must run to count. `drained` is undefined for a wait for the revision itself. */
export interface Needed {
  readonly revision: Revision;
  readonly drained: readonly BackendAddress[] | undefined;
}

export interface FleetHistory {
  readonly index: ChoosabilityIndex;
  readonly changes: ServiceChanges;
  readonly head: Revision;
}

/** Characters of an agent's reason that an answer repeats. */
const reasonMax = 512;

/** Undefined: the node counts. */
export function missingReason(
  node: FleetNode | undefined,
  needed: Needed,
  history: FleetHistory,
  nowMs: number,
): string | undefined {
  if (node === undefined || node.stream.kind === "never") return "never connected";
  if (node.stream.kind === "closed") return `disconnected ${printAgo(nowMs - node.stream.atMs)} ago`;
  if (node.heldReason !== undefined) return `failed: mass_removal_held: ${node.heldReason.slice(0, reasonMax)}`;
  if (!node.stream.hasAcked) return "connected, has not acked yet";
  // It says more than a cursor of nothing.
  const held = node.blocking.find(({ failure }) => failure.category === FailureCategory.MASS_REMOVAL_HELD);
  if (held !== undefined) return printFailure(held);
  if (node.applied < needed.revision) return `applied ${node.applied} of ${needed.revision}`;
  const failure = node.blocking.find((entry) => isInTheWay(entry, needed, history));
  if (failure !== undefined) return printFailure(failure);
  return node.failuresUnlisted > 0 ? `failed: ${node.failuresUnlisted} more failures than it listed` : undefined;
}

/** What keeps it from running whole what it acked; undefined: nothing does. */
export function firstFailure(node: FleetNode): string | undefined {
  const [failure] = node.blocking;
  if (failure !== undefined) return printFailure(failure);
  return node.failuresUnlisted > 0 ? `failed: ${node.failuresUnlisted} more failures than it listed` : undefined;
}

function isInTheWay(entry: BlockingFailure, needed: Needed, history: FleetHistory): boolean {
  const { service, goodAt } = entry;
  if (service === undefined) return true;
  if (needed.drained === undefined) return history.changes.hasChanged(service, goodAt, needed.revision);
  return needed.drained.some((target) => history.index.hasHeldSince(service, target, goodAt));
}

function printFailure({ failure }: BlockingFailure): string {
  const category = categoryNames[failure.category as keyof typeof categoryNames] ?? `category ${failure.category}`;
  const what = failure.service === "" ? "failed" : `failed ${failure.service}`;
  return failure.reason === "" ? `${what}: ${category}` : `${what}: ${category}: ${failure.reason.slice(0, reasonMax)}`;
}

/** Words of the failure categories, the same in status, waits and metrics. */
export const categoryNames = {
  [FailureCategory.UNSPECIFIED]: "unspecified",
  [FailureCategory.CAPACITY]: "capacity",
  [FailureCategory.KERNEL]: "kernel",
  [FailureCategory.CONFLICT]: "conflict",
  [FailureCategory.UNSUPPORTED]: "unsupported",
  [FailureCategory.MASS_REMOVAL_HELD]: "mass_removal_held",
} as const;

function printAgo(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}
