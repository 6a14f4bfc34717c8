/**
 * What one control plane may take away, by an account of its own: what its source told it, what was confirmed, and when. It shares no code
 * with what it judges. A service is lost as a whole here, with its slices.
 */
import { printEpoch } from "@weft/proto/cursor.ts";
import type { Epoch } from "@weft/proto/cursor.ts";
import type { Commit } from "@weft/controlplane/catalog/resource.ts";
import type { RecordChange } from "@weft/controlplane/source/source.ts";
import { Violation } from "./violation.ts";

export interface RemovalLimits {
  readonly thresholdPercent: number;
  readonly servicesMin: number;
  readonly holdMs: number;
}

/** Clocks with fractions of a millisecond differ in the last of them. */
const slackMs = 1;

export function isTooMany(services: number, ofServices: number, limits: RemovalLimits): boolean {
  return services >= limits.servicesMin && services / ofServices > limits.thresholdPercent / 100;
}

export class RemovalAccount {
  readonly limits: RemovalLimits;
  readonly #nowMs: () => number;
  // All names of its history, printed.
  readonly #epochs = new Set<string>();
  // That the source has, as it told last.
  readonly #listed = new Set<string>();
  // That a relist lacked: too many to be believed.
  readonly #doubted = new Set<string>();
  // That stood when the first of them was doubted, and were not removed one by one since.
  readonly #guarded = new Set<string>();
  #doubtedSinceMs: number | undefined;
  // Believed to be gone, and not back; from when on it must not be served.
  readonly #gone = new Map<string, number>();
  // At the head.
  readonly #served = new Set<string>();
  // That were taken away once: nodes activate it later, when they may be back already.
  readonly #removed = new Set<string>();
  #syncedAtMs: number | undefined;
  #isConfirmed = false;

  constructor(limits: RemovalLimits, nowMs: () => number) {
    this.limits = limits;
    this.#nowMs = nowMs;
  }

  named(epoch: Epoch): void {
    this.#epochs.add(printEpoch(epoch));
  }

  isOf(epoch: Epoch): boolean {
    return this.#epochs.has(printEpoch(epoch));
  }

  /** Somebody said so, or the source has been synced for the hold time: whatever its nodes hold beside the head may go. */
  get isConfirmed(): boolean {
    return this.#isConfirmed || this.#nowMs() + slackMs >= (this.#syncedAtMs ?? Infinity) + this.limits.holdMs;
  }

  get doubted(): number {
    this.#believe();
    return this.#doubted.size;
  }

  get served(): ReadonlySet<string> {
    return this.#served;
  }

  /** It had this service and took it away itself. */
  hasRemoved(service: string): boolean {
    return this.#removed.has(service);
  }

  /** The source's first list is taken as it is. */
  synced(): void {
    this.#syncedAtMs = this.#nowMs();
  }

  /** Before the control plane is told. */
  told(changes: readonly RecordChange[], isRelist: boolean): void {
    this.#believe();
    const puts = changes.flatMap((change) =>
      change.op === "put" && change.record.kind === "Service" ? [change.record.name] : [],
    );
    const lost = changes.flatMap((change) =>
      change.op === "remove" && change.kind === "Service" && this.#listed.has(change.name) ? [change.name] : [],
    );
    const ofServices = new Set([...this.#listed, ...this.#doubted]).size;
    const isBegun =
      isRelist &&
      this.#syncedAtMs !== undefined &&
      this.#doubtedSinceMs === undefined &&
      isTooMany(lost.length, ofServices, this.limits);
    if (isBegun) {
      this.#doubtedSinceMs = this.#nowMs();
      for (const service of this.#listed) this.#guarded.add(service);
    }
    for (const service of puts) {
      this.#listed.add(service);
      this.#doubted.delete(service);
      this.#gone.delete(service);
    }
    for (const service of lost) {
      this.#listed.delete(service);
      if (isRelist && this.#doubtedSinceMs !== undefined && this.#guarded.has(service)) this.#doubted.add(service);
      else {
        this.#guarded.delete(service);
        this.#gone.set(service, this.#nowMs());
      }
    }
    if (this.#doubted.size === 0) this.#end(this.#nowMs());
  }

  /** A person confirms what is held back now. */
  confirmed(): void {
    this.#believe();
    this.#isConfirmed = true;
    this.#end(this.#nowMs());
  }

  /** @throws Violation */
  committed(cursor: string, { puts, removals }: Commit): void {
    this.#believe();
    for (const { kind, name } of removals) {
      if (kind !== "service") continue;
      if (this.#doubted.has(name)) {
        throw new Violation(
          `7: ${cursor} takes ${name} away, one of ${this.#doubted.size} that a relist lacked and nobody confirmed`,
        );
      }
      this.#served.delete(name);
      this.#removed.add(name);
    }
    for (const { kind, name } of puts) {
      if (kind !== "service") continue;
      this.#served.add(name);
    }
    const kept = [...this.#gone.keys()].find((name) => this.#served.has(name) && this.#isGone(name));
    if (kept !== undefined) throw new Violation(`8: ${cursor} still serves ${kept}, which is gone for good`);
  }

  #isGone(service: string): boolean {
    return this.#nowMs() >= (this.#gone.get(service) ?? Infinity);
  }

  // What was doubted for the hold time may be believed, and must be a little later: the control plane's timers have whole milliseconds.
  #believe(): void {
    const untilMs = (this.#doubtedSinceMs ?? Infinity) + this.limits.holdMs;
    if (this.#nowMs() + slackMs >= untilMs) this.#end(untilMs + 2 * slackMs);
  }

  #end(goneFromMs: number): void {
    for (const service of this.#doubted) this.#gone.set(service, goneFromMs);
    this.#doubted.clear();
    this.#guarded.clear();
    this.#doubtedSinceMs = undefined;
  }
}
