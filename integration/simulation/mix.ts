/**
 * What happens in one run, and how often. Each run leaves some of it out and has more of other things, so that what is rare meets
 * what is rare: in a mix that is always the same it hardly ever does (swarm testing).
 */
import type { Random } from "./random.ts";

/** How often each happens in the usual mix, in thousandths. */
const usual = {
  change: 480,
  "wait for the head": 50,
  drain: 50,
  slow: 20,
  "spoil all": 10,
  "lose file": 10,
  break: 70,
  freeze: 50,
  kill: 50,
  "power failure": 20,
  replace: 10,
  spoil: 40,
  "fill disk": 20,
  "lose source": 20,
  confirm: 10,
  "restart control plane": 47,
  "end worker": 13,
  burst: 30,
} as const;
/** While something is held back there is a reason to confirm. */
const confirmWhileHeld = 30;
const usualRuns = 0.3;
const factors = [0, 0, 1, 1, 3, 8];

export type Happening = keyof typeof usual;

export class Mix {
  readonly #weights: readonly (readonly [what: Happening, weight: number])[];

  constructor(random: Random) {
    const isUsual = random.isTrue(usualRuns);
    this.#weights = (Object.keys(usual) as Happening[]).map((what) => {
      const factor = isUsual || what === "change" ? 1 : random.oneOf(factors);
      return [what, usual[what] * factor];
    });
  }

  draw(random: Random, isHolding: boolean): Happening {
    const weights = this.#weights.map(
      ([what, weight]) =>
        [what, what === "confirm" && isHolding ? Math.max(weight, confirmWhileHeld) : weight] as const,
    );
    let at = random.next() * weights.reduce((sum, [, weight]) => sum + weight, 0);
    return weights.find(([, weight]) => (at -= weight) < 0)?.[0] ?? "change";
  }
}
