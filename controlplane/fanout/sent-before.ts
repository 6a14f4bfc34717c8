/**
 * The highest revision that each agent was sent on its earlier streams of this epoch. A node whose kernel is ahead of its state
 * file acks more than it asked for, and that must be told from an ack of what nobody sent.
 */
import { isSameEpoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";

interface Sent {
  readonly instance: bigint;
  readonly epoch: Epoch;
  readonly revision: Revision;
}

export class SentBefore {
  readonly #byNode = new Map<string, Sent>();
  readonly #agentsMax: number;

  /** Beyond `agentsMax` those that left longest ago are forgotten. */
  constructor(agentsMax: number) {
    this.#agentsMax = agentsMax;
  }

  remember(node: string, instance: bigint, epoch: Epoch, revision: Revision): void {
    this.#byNode.delete(node);
    this.#byNode.set(node, { instance, epoch, revision });
    if (this.#byNode.size <= this.#agentsMax) return;
    const oldest = this.#byNode.keys().next();
    if (oldest.done !== true) this.#byNode.delete(oldest.value);
  }

  /** 0: nothing, or not known any more. */
  recall(node: string, instance: bigint, epoch: Epoch): Revision {
    const sent = this.#byNode.get(node);
    return sent !== undefined && sent.instance === instance && isSameEpoch(sent.epoch, epoch)
      ? sent.revision
      : revisionZero;
  }
}
