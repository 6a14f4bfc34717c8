/**
 * People who confirm mass removals, and what must follow: a confirmation takes everything with it that anybody can know to be held, and
 * every node that was held has what was confirmed soon (8). What lasted for the hold time is as good as confirmed.
 */
import { printCursor } from "@weft/proto/cursor.ts";
import type { SimulatedControlPlane } from "./control-plane.ts";
import type { Counts } from "./counts.ts";
import type { SimulatedNode } from "./node.ts";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** What was confirmed has arrived within this: turns of others that are stuck, a comparison, a round. */
const arrivedMs = 20_000;
/** How soon somebody may see that a node is held. */
const seenMaxMs = 8_000;

export interface ConfirmationsOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly say: (line: string) => void;
  readonly counts: Counts;
  readonly nodes: readonly SimulatedNode[];
  readonly violated: (why: string) => void;
}

export class Confirmations {
  readonly #options: ConfirmationsOptions;
  #calmUntilMs = 0;
  #calmMs = 0;

  constructor(options: ConfirmationsOptions) {
    this.#options = options;
  }

  /** Nothing breaks now, so that what was confirmed must arrive. */
  get isCalm(): boolean {
    return this.#options.time.nowMs < this.#calmUntilMs;
  }

  /** How long that was in all. */
  get calmMs(): number {
    return this.#calmMs;
  }

  /** A node is given no state: somebody may see it, sometimes in the very moment. */
  held(controlPlane: SimulatedControlPlane): void {
    const { time, random } = this.#options;
    if (random.isTrue(0.3)) time.after(random.delayMs(seenMaxMs), () => this.confirm(controlPlane));
  }

  confirm(controlPlane: SimulatedControlPlane | undefined): void {
    const { time, random, say } = this.#options;
    if (controlPlane?.isStaying !== true) return;
    say("removals are confirmed");
    const held = controlPlane.confirmRemoval();
    this.#expect(held, controlPlane);
    if (held.size === 0 || this.isCalm || !random.isTrue(0.5)) return;
    say("nothing breaks for a while");
    this.#calmUntilMs = time.nowMs + arrivedMs + 1;
    this.#calmMs += arrivedMs + 1;
  }

  /** What its nodes lack has lasted for the hold time: nobody needs to confirm it any more. */
  lasted(controlPlane: SimulatedControlPlane): void {
    this.#expect(controlPlane.held, controlPlane);
  }

  #expect(held: ReadonlySet<string>, controlPlane: SimulatedControlPlane): void {
    for (const node of this.#options.nodes) if (held.has(node.name)) this.#expectOf(node, controlPlane);
  }

  // If nothing breaks meanwhile.
  #expectOf(node: SimulatedNode, controlPlane: SimulatedControlPlane): void {
    const { time, counts, violated } = this.#options;
    const { link } = node;
    const { cursor } = controlPlane;
    if (link === undefined || link.isDisturbed || node.kernel.isSlow) return;
    const { disturbances } = link;
    time.after(arrivedMs, () => {
      if (!controlPlane.isStaying || node.link !== link || link.disturbances !== disturbances) return;
      counts.add(controlPlane.isAlone ? "confirmed removal arrived" : "confirmed removal arrived by a worker");
      const live = node.kernel.cursor;
      const isThere = live !== undefined && controlPlane.isOf(live.epoch) && live.revision >= cursor.revision;
      if (!isThere) violated(`8: ${node.name} was confirmed to get ${printCursor(cursor)}, and has not`);
    });
  }
}
