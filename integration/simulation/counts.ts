/** How often what a simulation is for came about. A run that never meets something proves nothing of it. */

/** Each must be met in a run of many seeds. */
export const expectedCounts = [
  "delta",
  "snapshot",
  "repair",
  "digest query",
  "goaway",
  "hello deferred",
  "return time given",
  "epoch renamed",
  "removal held at the source",
  "removal held at a stream",
  "removal held by an agent",
  "confirmed removal arrived",
  "confirmed removal arrived by a worker",
  "wait done",
  "wait not done",
  "control plane killed",
  "control plane drained",
  "worker ended",
  "clock went back",
  "agent killed",
  "power failure",
  "node replaced",
  "store spoilt",
  "all stores spoilt",
  "disk full",
  "state file lost",
  "laggard",
  "connection broken",
  "half-open",
] as const;

/** The last guards: behind others, or so rare that many thousands of runs may not meet them. */
export const rareCounts = ["older epoch taken"] as const;

export type Counted = (typeof expectedCounts)[number] | (typeof rareCounts)[number];

export type CountedTimes = readonly (readonly [what: Counted, times: number])[];

export class Counts {
  readonly #counts = new Map<Counted, number>();

  /** All that came about. */
  get times(): CountedTimes {
    return [...this.#counts];
  }

  add(what: Counted, times = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
  }

  get(what: Counted): number {
    return this.#counts.get(what) ?? 0;
  }

  addAll(times: CountedTimes): void {
    for (const [what, count] of times) this.add(what, count);
  }

  /** What never came about. */
  missing(): readonly Counted[] {
    return expectedCounts.filter((what) => this.get(what) === 0);
  }

  print(): string {
    return [...expectedCounts, ...rareCounts].map((what) => `${what} ${this.get(what)}`).join(", ");
  }
}
