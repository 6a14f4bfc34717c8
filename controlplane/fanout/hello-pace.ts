/**
 * How many agents may enter at a time. A fleet that comes back is let in at once as far as a burst goes; beyond it agents are told
 * when to come back, one after the other at the same rate, so that a storm ends instead of feeding itself. A node that comes back
 * again and again is slowed on its own account.
 */
export interface PaceLimits {
  readonly perSecond: number;
  readonly burst: number;
  readonly perNodeSecond: number;
  readonly nodeBurst: number;
  /** Nodes remembered; beyond it those that came longest ago are forgotten. */
  readonly nodesMax: number;
  readonly retryMaxMs: number;
}

export type Pace =
  | { readonly kind: "enter" }
  /** `message`: why, for the agent. */
  | { readonly kind: "later"; readonly retryAfterMs: number; readonly message: string };

const enter: Pace = { kind: "enter" };

/** Token buckets kept as the time at which they will be full again. */
export class HelloPace {
  readonly #limits: PaceLimits;
  #fullAtMs = 0;
  // The last moment that someone was told to come back at.
  #promisedMs = 0;
  readonly #nodes = new Map<string, number>();

  constructor(limits: PaceLimits) {
    this.#limits = limits;
  }

  /** @param jitter From 0 to 1, exclusive. */
  take(node: string, nowMs: number, jitter: number): Pace {
    const { perSecond, burst, perNodeSecond, nodeBurst, nodesMax, retryMaxMs } = this.#limits;
    const nodeStepMs = 1_000 / perNodeSecond;
    const nodeFullAtMs = Math.max(nowMs, this.#nodes.get(node) ?? 0) + nodeStepMs;
    if (nodeFullAtMs - nowMs > nodeBurst * nodeStepMs) {
      // From half to all of the time in which it earns back its burst.
      const retryAfterMs = Math.ceil(((1 + jitter) / 2) * nodeBurst * nodeStepMs);
      return { kind: "later", retryAfterMs, message: `node ${node} says Hello again and again; look at its log` };
    }
    const stepMs = 1_000 / perSecond;
    const fullAtMs = Math.max(nowMs, this.#fullAtMs) + stepMs;
    if (fullAtMs - nowMs > burst * stepMs) {
      this.#promisedMs = Math.min(Math.max(nowMs, this.#promisedMs) + stepMs, nowMs + retryMaxMs);
      const spreadMs = jitter * Math.max(1_000, (this.#promisedMs - nowMs) / 4);
      const retryAfterMs = Math.ceil(this.#promisedMs - nowMs + spreadMs);
      return { kind: "later", retryAfterMs, message: `more than ${perSecond} agents a second say Hello` };
    }
    this.#fullAtMs = fullAtMs;
    this.#nodes.delete(node);
    this.#nodes.set(node, nodeFullAtMs);
    const oldest = this.#nodes.size > nodesMax ? this.#nodes.keys().next() : undefined;
    if (oldest?.done === false) this.#nodes.delete(oldest.value);
    return enter;
  }
}
