/** Says why streams were ended: the first of its kind at once, repetitions counted and said once per interval. */
import type { Log } from "@weft/proto/program/log.ts";
import type { EndReason, Refusal } from "./refusal.ts";

const intervalMs = 30_000;
/** Kinds remembered; beyond it the oldest is forgotten and would be said again. */
const kindsMax = 1_000;

/** Ends that are part of normal life. */
const expected: ReadonlySet<EndReason> = new Set(["draining", "replaced"]);

export class EndLog {
  readonly #log: Log;
  readonly #said = new Map<string, { readonly atMs: number; unsaid: number }>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** `who`: the node, or where it is not known the peer's address without its port. */
  ended(refusal: Refusal, who: string, peer: string, nowMs: number): void {
    if (expected.has(refusal.reason)) {
      this.#log.debug(`stream ended: ${refusal.message}`, { reason: refusal.reason, peer });
      return;
    }
    const kind = `${refusal.reason} ${who}`;
    const said = this.#said.get(kind);
    if (said !== undefined && nowMs - said.atMs < intervalMs) {
      said.unsaid++;
      return;
    }
    const repeated = said === undefined || said.unsaid === 0 ? undefined : said.unsaid;
    this.#log.warn(`stream ended: ${refusal.message}`, { reason: refusal.reason, peer, repeated });
    this.#said.delete(kind);
    this.#said.set(kind, { atMs: nowMs, unsaid: 0 });
    const oldest = this.#said.size > kindsMax ? this.#said.keys().next() : undefined;
    if (oldest?.done === false) this.#said.delete(oldest.value);
  }
}
