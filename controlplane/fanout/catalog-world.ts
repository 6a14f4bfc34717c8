/** What streams may know of the catalog and of this control plane. */
import { revisionZero } from "@weft/proto/cursor.ts";
import type { NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { HistoryKind } from "../log/commit-log.ts";
import type { MassRemovalLimits } from "../mass-removal/mass-removal.ts";
import type { StreamLimits } from "./stream-limits.ts";
import type { World } from "./stream-state.ts";
import type { Transfers } from "./transfers.ts";

export interface WorldOptions {
  readonly catalog: Catalog;
  readonly historyKind: HistoryKind;
  readonly version: string;
  readonly streamLimits: StreamLimits;
  readonly nodeView: (node: string) => NodeView;
  readonly massRemoval: MassRemovalLimits;
  readonly isRemovalConfirmed: () => boolean;
}

/** Reads the catalog at each use: one object serves every step. */
export function catalogWorld(options: WorldOptions, transfers: Transfers): World {
  const { catalog, historyKind, version, streamLimits: limits, nodeView, massRemoval } = options;
  return {
    get epoch() {
      return catalog.epoch;
    },
    get head() {
      return catalog.head;
    },
    get root() {
      return catalog.root;
    },
    // The first commit is made when the source is synced, even if it is empty.
    get isSynced() {
      return catalog.head !== revisionZero;
    },
    historyKind,
    version,
    limits,
    get services() {
      return catalog.services;
    },
    massRemoval,
    get isRemovalConfirmed() {
      return options.isRemovalConfirmed();
    },
    delta: (from) => transfers.delta(from),
    snapshot: (nowMs, isMassRemovalConfirmed, isGood) => transfers.snapshot(nowMs, isMassRemovalConfirmed, isGood),
    digestCut: (nowMs) => transfers.digestCut(nowMs),
    knownDifferences: (digest) => transfers.knownDifferences(digest),
    repair: (differences, digest, isMassRemovalConfirmed) =>
      transfers.repair(differences, digest, isMassRemovalConfirmed),
    nodeView,
  };
}
