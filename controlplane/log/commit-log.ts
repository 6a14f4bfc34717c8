/**
 * The log: where a history of commits is kept. Commits are drafted from the catalog, appended here, and only then applied and
 * sent, so that no agent ever sees a revision that the log does not have.
 */
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import type { Commit, CompiledResource } from "../catalog/resource.ts";

export type HistoryKind = "memory" | "redis";

/** What a log holds when a control plane starts. */
export interface Replayed {
  readonly epoch: Epoch;
  /** 0: nothing was committed yet. */
  readonly head: Revision;
  /** Live resources at `head`. */
  readonly resources: readonly CompiledResource[];
}

export type Appended =
  | { readonly kind: "appended" }
  /** Another control plane leads now; nothing was written. */
  | { readonly kind: "fenced"; readonly reason: string };

export interface CommitLog {
  readonly kind: HistoryKind;
  /** Called once, first. */
  replay(): Promise<Replayed>;
  /** `commit.revision` follows the last one. Rejects if it is unknown whether the commit was written. */
  append(commit: Commit): Promise<Appended>;
}
