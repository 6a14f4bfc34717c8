/** What a complete snapshot or repair would come to, before it is applied. Pure. */
import type { Delta } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { scopeOf } from "./received-message.ts";
import type { Outcome } from "./received-message.ts";
import type { HeldResource, ReceivedPart } from "./received-resource.ts";
import type { Pruning, Store, StoreCounts } from "./store.ts";
import type { DeltaScope, Removal } from "./sync-state.ts";

export const noOutcome: Outcome = { removal: { services: 0, ofServices: 0 }, stray: undefined };

/**
 * @param last Its header.
 * @param live Names of the services that are live while the store is behind them: it cannot tell what is lost. Undefined: what is held is
 *   live.
 */
export function outcomeOf(
  parts: readonly ReceivedPart[],
  last: Delta,
  store: Store,
  live: ReadonlySet<string> | undefined,
): Outcome {
  const scope = scopeOf(last);
  if (scope === "since") return noOutcome;
  const pruning = pruningOf(scope);
  const removal =
    live === undefined
      ? { services: store.servicesRemovedBy(parts, pruning), ofServices: store.counts.services }
      : removalOfLive(parts, pruning, store, live);
  return { removal, stray: scope === "buckets" ? store.strayOf(parts, last.scope?.buckets ?? []) : undefined };
}

/** For Hello and acks: what is live and not held could be lost too. `live`: see above. */
export function countsToTell({ counts }: Store, live: ReadonlySet<string> | undefined): StoreCounts {
  return { ...counts, services: Math.max(counts.services, live?.size ?? 0) };
}

export function pruningOf(scope: DeltaScope): Pruning {
  return scope === "everything" ? "everything-unlisted" : "nothing";
}

function removalOfLive(
  parts: readonly ReceivedPart[],
  pruning: Pruning,
  store: Store,
  live: ReadonlySet<string>,
): Removal {
  const kept = new Set<string>();
  const keep = (resources: Iterable<readonly [ResourceId, HeldResource]>, removed?: ReadonlySet<ResourceId>): void => {
    for (const [id, resource] of resources) {
      if (resource.kind === "service" && removed?.has(id) !== true) kept.add(resource.name);
    }
  };
  if (pruning === "nothing") keep(store.resources(), new Set(parts.flatMap(({ removed }) => removed)));
  for (const { puts } of parts) keep(puts);
  let services = 0;
  for (const name of live) if (!kept.has(name)) services++;
  return { services, ofServices: live.size };
}
