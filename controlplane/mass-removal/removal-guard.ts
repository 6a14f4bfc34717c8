/** Runs the hold of one source: time, log, metrics, fleet. What is held and why is decided in `removal-hold.ts`. */
import { printDuration } from "@weft/proto/program/flags.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Counter, Labelled, Metrics } from "@weft/proto/program/metrics.ts";
import type { FleetObserver } from "../fleet/fleet-observer.ts";
import type { ChangeBatch } from "../source/source.ts";
import type { HeldRemoval, MassRemovalLimits } from "./mass-removal.ts";
import { RemovalHold } from "./removal-hold.ts";
import type { HoldEnd, HoldEvent, ServedRecords } from "./removal-hold.ts";

export interface RemovalGuardOptions {
  readonly records: ServedRecords;
  readonly limits: MassRemovalLimits;
  readonly fleet: FleetObserver;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Unix milliseconds; never goes back. */
  readonly now: () => number;
  /** A removal went on by time: there is something to commit. */
  readonly passed: () => void;
}

/** Services that a log line names. */
const namesLoggedMax = 16;

export class RemovalGuard {
  readonly #options: RemovalGuardOptions;
  readonly #hold: RemovalHold;
  readonly #holds: Counter;
  readonly #ends: Labelled<Counter>;
  #syncedAtMs: number | undefined;
  #isConfirmed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RemovalGuardOptions) {
    this.#options = options;
    this.#hold = new RemovalHold(options.records, options.limits);
    const { metrics } = options;
    this.#holds = metrics.counter({
      name: "weft_source_mass_removal_holds_total",
      help: "Times that the source lacked so many services at once that their removal was held back.",
    });
    this.#ends = metrics.counterWith(
      {
        name: "weft_source_mass_removal_ends_total",
        help: "Ends of these: confirmed by a person, lasted for the hold time, came back.",
      },
      ["how"],
    );
    for (const how of ["confirmed", "lasted", "came-back"] satisfies HoldEnd[]) this.#ends.with(how);
    metrics.observed(
      "gauge",
      {
        name: "weft_source_mass_removal_services",
        help: "Services that the source lacks and that are served until that is confirmed.",
      },
      () => this.#hold.held?.services ?? 0,
    );
  }

  /** What the source does not list is meant to be gone: a person said so, or it has been synced for the hold time. */
  get isConfirmed(): boolean {
    const { limits, now } = this.#options;
    if (limits.thresholdPercent === 0 || this.#isConfirmed) return true;
    return this.#syncedAtMs !== undefined && now() >= this.#syncedAtMs + limits.holdMs;
  }

  /** Without history the first commit is not delayed: nothing is held before this. */
  synced(): void {
    this.#syncedAtMs ??= this.#options.now();
  }

  take(batch: ChangeBatch): void {
    if (this.#syncedAtMs === undefined) this.#options.records.apply(batch.changes);
    else this.#tell(this.#hold.take(batch, this.#options.now()), "");
  }

  /**
   * Lets what is held back go on. `nodes`: how many are given no state; `by`: for the log. Returns what was held of the source.
   * With nothing held back it confirms nothing, also not what comes later. What is held back may be told by several relists: those
   * that are still to come are confirmed with it.
   */
  confirm(nodes: number, by: string): HeldRemoval | undefined {
    const removal = this.#hold.held;
    if (removal === undefined && nodes === 0) return undefined;
    this.#isConfirmed = true;
    if (nodes > 0)
      this.#options.log.warn("mass removal confirmed: nodes that were given no state get it", { nodes, by });
    this.#tell(this.#hold.confirm(this.#options.now()), by);
    return removal;
  }

  /** Nothing goes on by time any more. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #tell(event: HoldEvent | undefined, by: string): void {
    if (event === undefined) return;
    const { log, fleet, limits } = this.#options;
    const { services, ofServices, untilMs, names } = event.removal;
    const fields = { names: names.slice(0, namesLoggedMax).join(","), until: new Date(untilMs).toISOString() };
    const what = `${services} of ${ofServices} services`;
    fleet.removalHeld(this.#hold.held);
    switch (event.kind) {
      case "began":
        this.#holds.inc();
        log.error(
          `mass removal held: the source lacks ${what}; they are served as they were for ${printDuration(limits.holdMs)}: ` +
            "look at the source, or run `weft confirm-removal`",
          fields,
        );
        this.#timer = setTimeout(() => this.#pass(), Math.max(0, untilMs - this.#options.now()));
        return;
      case "changed":
        log.warn(`mass removal held: the source lacks ${what} now`, fields);
        return;
      case "ended":
        clearTimeout(this.#timer);
        this.#ends.with(event.how).inc();
        log.warn(`mass removal no longer held: ${endings[event.how](what)}`, by === "" ? {} : { by });
        return;
      case "covered":
        log.warn(`mass removal not held: the source lacks ${what} too, and this loss was confirmed`, {
          names: fields.names,
        });
    }
  }

  #pass(): void {
    const event = this.#hold.pass(this.#options.now());
    // A timer may be early by a millisecond.
    if (event === undefined) {
      if (this.#hold.held !== undefined) this.#timer = setTimeout(() => this.#pass(), 1);
      return;
    }
    this.#tell(event, "");
    this.#options.passed();
  }
}

const endings: Readonly<Record<HoldEnd, (what: string) => string>> = {
  confirmed: (what) => `confirmed, ${what} are removed`,
  lasted: (what) => `it has lasted, ${what} are removed`,
  "came-back": () => "everything came back",
};
