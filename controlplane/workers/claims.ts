/**
 * One stream per node over all workers. A worker that has an agent's Hello claims its node here; if another worker serves it, that
 * one is told to end its stream first, and the claim waits until it has. Pure: answers and times come from outside.
 *
 * Invariant: at most one worker holds a node, from the grant until it said that the stream has ended or was abandoned.
 */
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { revisionZero } from "@weft/proto/cursor.ts";
import { admit } from "../fanout/admission.ts";
import { HelloPace } from "../fanout/hello-pace.ts";
import type { PaceLimits } from "../fanout/hello-pace.ts";
import type { Refusal } from "../fanout/refusal.ts";
import { SentBefore } from "../fanout/sent-before.ts";
import type { StreamLimits } from "../fanout/stream-limits.ts";
import type { Claim } from "./worker-messages.ts";

export type ClaimAnswer =
  | { readonly kind: "granted"; readonly sentBefore: Revision }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "later"; readonly retryAfterMs: number; readonly message: string };

/** What claims are decided with, and whom the decisions are told. */
export interface ClaimsPort {
  readonly epoch: () => Epoch;
  readonly head: () => Revision;
  readonly limits: StreamLimits;
  readonly pace: PaceLimits;
  readonly agentsRememberedMax: number;
  readonly now: () => number;
  readonly random: () => number;
  answer(worker: number, claim: Claim, answer: ClaimAnswer): void;
  /** Asks a worker to end its stream of a node, for one that came from `by`. */
  replace(worker: number, node: string, by: string): void;
  /** Before the grant: an agent holds a later epoch than ours. */
  rename(epoch: Epoch, node: string): void;
  /** A node whose worker does not answer is taken from it. */
  lost(node: string, instance: bigint, reason: string): void;
}

interface Holder {
  readonly instance: bigint;
  readonly peer: string;
}

/** The open stream of a node. */
export interface ConnectedStream extends Holder {
  /** Newest revision that it was sent; whoever is told raises it. */
  sent: Revision;
}

interface Held {
  readonly worker: number;
  connected: ConnectedStream | undefined;
  granted: (Holder & { readonly claim: number }) | undefined;
  readonly waiting: Waiting[];
  /** Since another worker waits for its end. */
  waitingSinceMs: number;
}

interface Waiting {
  readonly worker: number;
  readonly claim: Claim;
  /** It was let in by the pace already. */
  readonly isPaced: boolean;
}

/** How long a worker may take to end a stream that is replaced. */
const releaseMaxMs = 5_000;

export class Claims {
  readonly #port: ClaimsPort;
  readonly #nodes = new Map<string, Held>();
  readonly #waited = new Set<string>();
  readonly #pace: HelloPace;
  readonly #sentBefore: SentBefore;

  constructor(port: ClaimsPort) {
    this.#port = port;
    this.#pace = new HelloPace(port.pace);
    this.#sentBefore = new SentBefore(port.agentsRememberedMax);
  }

  ask(worker: number, claim: Claim): void {
    const held = this.#nodes.get(claim.node);
    const waiting = { worker, claim, isPaced: false };
    if (held !== undefined && held.waiting.length > 0) held.waiting.push(waiting);
    else this.#decide(waiting);
  }

  /** That a worker serves, or is about to. */
  nodes(): Iterable<string> {
    return this.#nodes.keys();
  }

  /** The worker that serves this node, or is about to. */
  workerOf(node: string): number | undefined {
    return this.#nodes.get(node)?.worker;
  }

  /** The stream of this node is open. Undefined: it is not this worker's. */
  connected(
    worker: number,
    node: string,
    of: Holder & { readonly claim: number | undefined },
  ): ConnectedStream | undefined {
    const held = this.#heldBy(worker, node);
    if (held === undefined) return undefined;
    const connected = { instance: of.instance, peer: of.peer, sent: revisionZero };
    held.connected = connected;
    if (held.granted?.claim === of.claim) held.granted = undefined;
    return connected;
  }

  /** False: it was not this worker's. */
  disconnected(worker: number, node: string): boolean {
    const held = this.#heldBy(worker, node);
    if (held?.connected === undefined) return false;
    this.#end(node, held);
    if (held.granted === undefined) this.#release(node, held);
    return true;
  }

  /** A grant came too late. */
  abandoned(worker: number, node: string, claim: number): void {
    const held = this.#heldBy(worker, node);
    if (held?.granted?.claim !== claim) return;
    held.granted = undefined;
    if (held.connected === undefined) this.#release(node, held);
  }

  /** A worker is gone with all its streams. */
  workerEnded(worker: number): void {
    for (const held of this.#nodes.values()) {
      const kept = held.waiting.filter((waiting) => waiting.worker !== worker);
      held.waiting.splice(0, held.waiting.length, ...kept);
    }
    for (const [node, held] of this.#nodes) if (held.worker === worker) this.#take(node, held, "worker-ended");
  }

  /** Takes nodes from workers that do not end their streams. */
  tick(): void {
    for (const node of this.#waited) {
      const held = this.#nodes.get(node);
      if (held === undefined || held.waiting.length === 0) this.#waited.delete(node);
      else if (this.#port.now() - held.waitingSinceMs > releaseMaxMs) this.#take(node, held, "replaced");
    }
  }

  #heldBy(worker: number, node: string): Held | undefined {
    const held = this.#nodes.get(node);
    return held?.worker === worker ? held : undefined;
  }

  #decide(waiting: Waiting): void {
    const { worker, claim } = waiting;
    const { node, instance, cursor, identity, peer } = claim;
    const port = this.#port;
    const held = this.#nodes.get(node);
    const present = held?.granted ?? held?.connected;
    const { limits } = port;
    const nowMs = port.now();
    const introduction = { node, instance, cursor };
    const at = { epoch: port.epoch(), head: port.head(), limits, nowMs };
    const admission = admit({ introduction, identity, peer, present, ...at });
    if (admission.kind === "refused") {
      port.answer(worker, claim, admission);
      return;
    }
    const pace = waiting.isPaced ? undefined : this.#pace.take(node, nowMs, port.random());
    if (pace?.kind === "later") {
      port.answer(worker, claim, pace);
      return;
    }
    if (held !== undefined && held.worker !== worker) {
      held.waiting.unshift({ ...waiting, isPaced: true });
      held.waitingSinceMs = nowMs;
      this.#waited.add(node);
      port.replace(held.worker, node, peer);
      return;
    }
    if (admission.renameTo !== undefined) port.rename(admission.renameTo, node);
    const sentHere = held?.connected?.instance === instance ? held.connected.sent : revisionZero;
    const sentBefore = this.#sentBefore.recall(node, instance, port.epoch());
    this.#nodes.set(node, {
      worker,
      connected: held?.connected,
      granted: { claim: claim.claim, instance, peer },
      waiting: held?.waiting ?? [],
      waitingSinceMs: 0,
    });
    port.answer(worker, claim, { kind: "granted", sentBefore: sentHere > sentBefore ? sentHere : sentBefore });
  }

  #take(node: string, held: Held, reason: string): void {
    const { connected } = held;
    this.#end(node, held);
    if (connected !== undefined) this.#port.lost(node, connected.instance, reason);
    held.granted = undefined;
    this.#release(node, held);
  }

  #end(node: string, held: Held): void {
    if (held.connected === undefined) return;
    const { instance, sent } = held.connected;
    this.#sentBefore.remember(node, instance, this.#port.epoch(), sent);
    held.connected = undefined;
  }

  // Each that waited is decided anew; the first becomes the holder, and the second replaces it.
  #release(node: string, held: Held): void {
    this.#nodes.delete(node);
    const [first, ...others] = held.waiting;
    if (first === undefined) return;
    this.#decide(first);
    for (const { worker, claim } of others) this.ask(worker, claim);
  }
}
