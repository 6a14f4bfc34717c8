/**
 * How much an agent may say: a token bucket that fills with time and with what the agent is sent, since it may answer each write.
 * A good agent sends one ack for a write, one for a heartbeat and one when its failures or addresses change, each only after the
 * one before has left; it never comes near the end of the bucket. Beyond it reading pauses, and the transport's window fills.
 */
export interface CreditLimits {
  /** Tokens that can be saved. */
  readonly tokensMax: number;
  readonly tokensPerSecond: number;
  /** Earned by each write to the agent. */
  readonly tokensPerWrite: number;
  /** A message costs one token, and one more for each of these: large acks take longer to read. */
  readonly bytesPerToken: number;
  /** An agent that is paused again and again for this long is ended. */
  readonly floodMs: number;
}

export const creditLimits: CreditLimits = {
  tokensMax: 512,
  tokensPerSecond: 32,
  tokensPerWrite: 16,
  bytesPerToken: 64 * 1_024,
  floodMs: 10_000,
};

export type Taken =
  | { readonly kind: "go-on" }
  /** Nothing more may be read for so long. */
  | { readonly kind: "pause"; readonly forMs: number; readonly isFirst: boolean }
  | { readonly kind: "flooding" };

const goOn: Taken = { kind: "go-on" };

export class ReceiveCredit {
  readonly #limits: CreditLimits;
  #tokens: number;
  #atMs: number;
  // When it was first paused; undefined once it has saved half of the bucket again.
  #overSinceMs: number | undefined;

  constructor(limits: CreditLimits, nowMs: number) {
    this.#limits = limits;
    this.#tokens = limits.tokensMax;
    this.#atMs = nowMs;
  }

  wrote(): void {
    this.#tokens = Math.min(this.#limits.tokensMax, this.#tokens + this.#limits.tokensPerWrite);
  }

  /** One message of this size was read. */
  take(bytes: number, nowMs: number): Taken {
    const { tokensMax, tokensPerSecond, bytesPerToken, floodMs } = this.#limits;
    const saved = this.#tokens + (Math.max(0, nowMs - this.#atMs) / 1_000) * tokensPerSecond;
    this.#atMs = nowMs;
    if (saved >= tokensMax / 2) this.#overSinceMs = undefined;
    this.#tokens = Math.min(tokensMax, saved) - 1 - Math.floor(bytes / bytesPerToken);
    if (this.#tokens >= 0) return goOn;
    const isFirst = this.#overSinceMs === undefined;
    this.#overSinceMs ??= nowMs;
    if (nowMs - this.#overSinceMs > floodMs) return { kind: "flooding" };
    return { kind: "pause", forMs: Math.ceil((-this.#tokens / tokensPerSecond) * 1_000), isFirst };
  }
}
