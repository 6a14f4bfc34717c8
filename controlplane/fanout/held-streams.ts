/** The streams that are given no state because that would be a mass removal which nobody confirmed: for status, metric and log. */
import type { Log } from "@weft/proto/program/log.ts";
import type { FleetObserver } from "../fleet/fleet-observer.ts";
import { printDoubt } from "./doubt.ts";
import type { Doubt } from "./doubt.ts";
import type { StreamState } from "./stream-state.ts";

export interface HeldStream {
  /** Set once it was admitted. */
  readonly agent: { readonly node: string } | undefined;
}

export class HeldStreams<Stream extends HeldStream> {
  readonly #log: Log;
  readonly #fleet: FleetObserver;
  readonly #held = new Set<Stream>();

  constructor(log: Log, fleet: FleetObserver) {
    this.#log = log;
    this.#fleet = fleet;
  }

  /** Names of their nodes. */
  get nodes(): readonly string[] {
    return [...this.#held].flatMap(({ agent }) => agent?.node ?? []);
  }

  /** `isCurrent`: this is the stream of its node. `services`: at the head. */
  changed(stream: Stream, from: StreamState, to: StreamState, isCurrent: boolean, services: number): void {
    const doubt = doubtOf(to);
    if (doubt === doubtOf(from) || stream.agent === undefined) return;
    const { node } = stream.agent;
    const reason = doubt === undefined ? undefined : printDoubt(doubt, services);
    if (reason === undefined) this.#leave(stream);
    else this.#enter(stream, node, reason);
    // What an agent says itself is in its acks.
    if (isCurrent) this.#fleet.held(node, doubt?.by === "control-plane" ? reason : undefined, doubt !== undefined);
  }

  #enter(stream: Stream, node: string, reason: string): void {
    // The first one loudly: all of them are in the status.
    if (this.#held.size === 0) this.#log.error(`mass removal held: ${reason}`, { node });
    else this.#log.debug(`mass removal held: ${reason}`, { node });
    this.#held.add(stream);
  }

  #leave(stream: Stream): void {
    this.#held.delete(stream);
    if (this.#held.size === 0) this.#log.warn("no agent waits for a mass removal to be confirmed any more");
  }
}

/** It is held now and was not, or the other way round, or for another reason. */
export function isHoldChanged(from: StreamState, to: StreamState): boolean {
  return doubtOf(from) !== doubtOf(to);
}

// Undefined: not held.
function doubtOf(state: StreamState): Doubt | undefined {
  return state.phase === "open" && state.progress.kind === "held" ? state.progress.doubt : undefined;
}
