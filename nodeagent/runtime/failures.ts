/** What the node could not do, as one list for acks, logs and metrics (DESIGN section 4, "Failures"). Pure. */
import { compareText } from "@weft/proto/address.ts";
import { FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { DataplaneFailure } from "../dataplane/dataplane.ts";
import type { PlanNotice } from "../plan/plan-service.ts";
import type { Removal } from "../sync/sync-state.ts";

export type NodeFailureCategory = "capacity" | "kernel" | "conflict" | "unsupported" | "mass_removal_held";

export interface NodeFailure {
  /** "ns/name"; "": the whole node. */
  readonly service: string;
  readonly category: NodeFailureCategory;
  /** What, where and what to do. */
  readonly reason: string;
}

export interface FailureSources {
  readonly notices: readonly PlanNotice[];
  /** Health check node ports that cannot be bound. */
  readonly health: readonly NodeFailure[];
  readonly dataplane: readonly DataplaneFailure[];
  /** Why nothing can be activated; undefined: it can. */
  readonly activation: string | undefined;
  /** A mass removal that waits for confirmation. */
  readonly held: Removal | undefined;
}

/** In every ack the ones that hold a wait come first: a list that is cut off must not hide them. */
const categories: readonly NodeFailureCategory[] = [
  "mass_removal_held",
  "kernel",
  "capacity",
  "unsupported",
  "conflict",
];

export const wireCategory: Readonly<Record<NodeFailureCategory, FailureCategory>> = {
  capacity: FailureCategory.CAPACITY,
  kernel: FailureCategory.KERNEL,
  conflict: FailureCategory.CONFLICT,
  unsupported: FailureCategory.UNSUPPORTED,
  mass_removal_held: FailureCategory.MASS_REMOVAL_HELD,
};

/** The full list: ordered by category (those that hold a wait first), then service. Plan and dataplane name the same only once. */
export function mergeFailures({
  notices,
  health,
  dataplane,
  activation,
  held,
}: FailureSources): readonly NodeFailure[] {
  const merged = new Map<string, NodeFailure>();
  const add = (failure: NodeFailure): void => {
    const key = `${failure.category} ${failure.service}${failure.category === "conflict" ? ` ${failure.reason}` : ""}`;
    if (!merged.has(key)) merged.set(key, failure);
  };
  if (held !== undefined) add({ service: "", category: "mass_removal_held", reason: heldReason(held) });
  if (activation !== undefined) add({ service: "", category: "kernel", reason: activation });
  for (const failure of dataplane) add(failure);
  for (const notice of notices) add(notice);
  for (const failure of health) add(failure);
  return [...merged.values()].toSorted(
    (a, b) =>
      categories.indexOf(a.category) - categories.indexOf(b.category) ||
      compareText(a.service, b.service) ||
      compareText(a.reason, b.reason),
  );
}

function heldReason({ services, ofServices }: Removal): string {
  return (
    `the control plane would remove ${services} of the ${ofServices} services on this node: the last state stays until that is ` +
    "confirmed; look at its source, or run `weft confirm-removal`"
  );
}
