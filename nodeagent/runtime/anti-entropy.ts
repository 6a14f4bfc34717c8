/**
 * Compares what is held with what the control plane says, answers its questions about it, and names what its repairs changed. The
 * control plane decides what is done: it compares the digest of each answer to a heartbeat.
 */
import type { Cursor, Revision } from "@weft/proto/cursor.ts";
import type { DigestQuery, Heartbeat, SyncRequest } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { printResource, printSome, resourceNamesMax } from "@weft/proto/printed-resource.ts";
import { bytesOf } from "../sync/kept-bytes.ts";
import type { HeldResource, ReceivedPart } from "../sync/received-resource.ts";
import type { Store, StoreChange } from "../sync/store.ts";
import { position } from "../sync/sync-state.ts";
import type { SyncState } from "../sync/sync-state.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import { digestsMessages } from "./messages.ts";
import type { SyncLog } from "./sync-log.ts";

export class AntiEntropy {
  readonly #store: Store;
  readonly #metrics: AgentMetrics;
  readonly #log: SyncLog;
  // Since the last heartbeat that could be compared.
  #isMismatch = false;
  #agreements = 0;

  constructor(store: Store, metrics: AgentMetrics, log: SyncLog) {
    this.#store = store;
    this.#metrics = metrics;
    this.#log = log;
  }

  /** Heartbeats that agreed with what was held. */
  get agreements(): number {
    return this.#agreements;
  }

  /** `state`: before the heartbeat. */
  compare(state: SyncState, heartbeat: Heartbeat, nowMs: number): void {
    if (state.kind !== "following" || heartbeat.digest === undefined) return;
    const at = position(state.standing, state.session);
    if (BigInt(at) !== heartbeat.revision) return;
    this.#isMismatch = heartbeat.digest !== this.#store.digest;
    if (this.#isMismatch) this.#log.digestDiffers(at, nowMs);
    else this.#agreements++;
  }

  /** @param messageBytesMax Of `Welcome`. */
  answer(at: Revision, query: DigestQuery, messageBytesMax: number): SyncRequest[] {
    return digestsMessages(this.#store, at, query, messageBytesMax);
  }

  /** No query follows on the ones before. */
  answered(): void {
    this.#store.forgetBuckets();
  }

  /** Commits a repair. */
  repair(parts: readonly ReceivedPart[], cursor: Cursor): StoreChange {
    // What is removed has a name only before.
    const names = this.#namesIn(parts);
    const change = this.#store.commit(parts, "nothing");
    const count = change.puts.size + change.removed.length;
    this.#metrics.repairedResources.inc(count);
    this.#log.repaired(cursor, printSome(names, count), this.#isMismatch);
    this.#isMismatch = false;
    return change;
  }

  // The first of those that differ.
  #namesIn(parts: readonly ReceivedPart[]): readonly string[] {
    const held = this.#store.resources();
    const named = new Map<ResourceId, HeldResource>();
    for (const { puts } of parts) {
      for (const [id, put] of puts) {
        if (named.size < resourceNamesMax && held.get(id)?.bytes !== put.bytes) named.set(id, put);
      }
    }
    for (const { removed } of parts) {
      for (const id of removed) {
        const lost = held.get(id);
        if (named.size < resourceNamesMax && lost !== undefined) named.set(id, lost);
      }
    }
    const serviceName = (id: ResourceId): string | undefined => {
      const service = named.get(id) ?? held.get(id);
      return service?.kind === "service" ? service.name : undefined;
    };
    return [...named.values()].map(({ bytes }) => printResource(bytesOf(bytes), serviceName));
  }
}
