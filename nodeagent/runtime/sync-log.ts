/** What the conversation with a control plane tells people and metrics. Times are milliseconds, monotonic. */
import { printCursor, printEpoch } from "@weft/proto/cursor.ts";
import type { Cursor, Revision } from "@weft/proto/cursor.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Removal, SyncState } from "../sync/sync-state.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import { Seldom } from "./seldom.ts";

export class SyncLog {
  readonly #log: Log;
  readonly #metrics: AgentMetrics;
  readonly #seldom = new Seldom();

  constructor(log: Log, metrics: AgentMetrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  ended(end: { readonly cause: string; readonly message: string }, nowMs: number): void {
    this.#metrics.streamsEnded.with(end.cause).inc();
    if (end.cause === "older-epoch") this.#metrics.epochsRefused.inc();
    const leftOut = this.#seldom.due(end.cause, nowMs);
    if (leftOut === undefined) return;
    this.#log.warn(`${end.message} (this node keeps serving its last state and tries again)`, {
      cause: end.cause,
      leftOut,
    });
  }

  welcomed(state: SyncState, version: string): void {
    if (state.kind !== "following" && state.kind !== "holding") return;
    const { cursor } = state.standing;
    this.#log.info("welcomed by a control plane", {
      epoch: printEpoch(state.session.epoch),
      version,
      cursor: cursor === undefined ? "none" : printCursor(cursor),
    });
  }

  held({ services, ofServices }: Removal): void {
    this.#metrics.massRemovalsHeld.inc();
    this.#log.error(
      `the control plane would remove ${services} of ${ofServices} services: held, the last state stays; ` +
        "look at its source, or run `weft confirm-removal`",
    );
  }

  digestDiffers(at: Revision, nowMs: number): void {
    this.#metrics.digestMismatches.inc();
    const leftOut = this.#seldom.due("digest-mismatch", nowMs);
    if (leftOut === undefined) return;
    this.#log.error("what this node holds is not what the control plane says: waiting for its repair", {
      revision: at,
      leftOut,
    });
  }

  /** `isMismatch`: what was held should have been this revision already. */
  repaired(cursor: Cursor, what: string, isMismatch: boolean): void {
    if (isMismatch) {
      this.#log.error(`what this node held was not what the control plane says: repaired: ${what}`, {
        revision: cursor.revision,
      });
    } else {
      this.#log.info(`brought here by a repair of what differed: ${what}`, { cursor: printCursor(cursor) });
    }
  }
}
