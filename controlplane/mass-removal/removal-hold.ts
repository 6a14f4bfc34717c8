/**
 * Stands between a source and the compiler, and holds back what a relist takes away if that is too much to believe. It has no
 * clock: its shell says when, and lets it go on at `dueAtMs`.
 *
 * A service is *lost* by a relist that no longer lists it, or no longer lists any of its slices: an API server that lost its data
 * is seen by the watch of each kind on its own, in any order.
 *
 * Invariants:
 * 1. While a hold stands, a relist takes away nothing that stood when it began, but slices of services that keep another one.
 *    Changes that are no relist (a watch event is about one object) go on, but for slices of services that are held.
 * 2. Additions and changes go on. What comes back is held no longer; a service that gets a slice loses the ones it lost at once.
 * 3. What the doubted source itself added is not guarded: a folder swapped back leaves nothing of the wrong one.
 * 4. A hold ends when it is confirmed, when it has lasted, or when nothing is lost any more; then all of it goes on. A restored
 *    backup comes back one by one: that most is there again says nothing about the rest.
 * 5. A confirmation is for one loss, however many relists tell it: it holds for the next relist of each kind that has not been
 *    relisted since the hold began, for at most the hold time, and not over another hold.
 */
import { compareText } from "@weft/proto/address.ts";
import type { ChangeBatch, RecordChange, RecordKind } from "../source/source.ts";
import { isMassRemoval, namesMax } from "./mass-removal.ts";
import type { HeldRemoval, MassRemovalLimits } from "./mass-removal.ts";

/** The records that are served. `Compiler` has this shape. */
export interface ServedRecords {
  readonly serviceNames: Iterable<string>;
  readonly serviceCount: number;
  hasService(name: string): boolean;
  /** The service of a slice; undefined: no such slice. */
  serviceOfSlice(name: string): string | undefined;
  /** Names of its slices. */
  slicesOf(service: string): Iterable<string>;
  apply(changes: readonly RecordChange[]): void;
}

export type HoldEnd = "confirmed" | "lasted" | "came-back";

export type HoldEvent =
  | { readonly kind: "began" | "changed"; readonly removal: HeldRemoval }
  /** `removal`: as it was. */
  | { readonly kind: "ended"; readonly removal: HeldRemoval; readonly how: HoldEnd }
  /** It would be held, but it is of a loss that was confirmed. It has gone on. */
  | { readonly kind: "covered"; readonly removal: HeldRemoval };

type Put = Extract<RecordChange, { readonly op: "put" }>;
type Removal = Extract<RecordChange, { readonly op: "remove" }>;

interface Hold {
  readonly sinceMs: number;
  readonly ofServices: number;
  /** Services that stood when it began, less those removed since. */
  readonly guarded: Set<string>;
  /** By `keyOf`. */
  readonly removals: Map<string, Removal>;
  /** Kinds of which a relist has come since it began, the first one included. */
  readonly relisted: Set<RecordKind>;
}

/** A confirmed loss of which relists are still to come. */
interface Cover {
  readonly kinds: Set<RecordKind>;
  readonly untilMs: number;
}

/** Kinds whose relists tell of a loss. */
const losingKinds: readonly RecordKind[] = ["Service", "EndpointSlice"];

export class RemovalHold {
  readonly #records: ServedRecords;
  readonly #limits: MassRemovalLimits;
  #hold: Hold | undefined;
  #cover: Cover | undefined;

  constructor(records: ServedRecords, limits: MassRemovalLimits) {
    this.#records = records;
    this.#limits = limits;
  }

  /** Undefined: nothing is held back. */
  get held(): HeldRemoval | undefined {
    return this.#hold === undefined ? undefined : this.#describe(this.#hold);
  }

  /** When the hold has lasted; undefined: nothing is held back. */
  get dueAtMs(): number | undefined {
    return this.#hold === undefined ? undefined : this.#hold.sinceMs + this.#limits.holdMs;
  }

  /** Gives the records what may go on. Undefined: no hold began, changed or ended by it. */
  take(batch: ChangeBatch, nowMs: number): HoldEvent | undefined {
    const before = this.#hold;
    const relisted = batch.isRelist ? losingKinds.filter((kind) => batch.kinds?.includes(kind) ?? true) : [];
    const isCovered = this.#takeCover(relisted, nowMs);
    if (before === undefined && !this.#isDoubtful(batch)) {
      this.#records.apply(batch.changes);
      return undefined;
    }
    const { puts, removals } = newest(batch.changes);
    const begun = before === undefined ? this.#begin(puts, removals, nowMs) : undefined;
    const hold = before ?? begun?.hold;
    if (hold === undefined || (begun !== undefined && isCovered)) {
      this.#records.apply(batch.changes);
      return begun === undefined ? undefined : { kind: "covered", removal: this.#describe(begun.hold, begun.lost) };
    }
    this.#hold = hold;
    this.#cover = undefined;
    for (const kind of relisted) hold.relisted.add(kind);
    const lostBefore = before === undefined ? 0 : this.#lost(before).size;
    for (const { record } of puts) hold.removals.delete(keyOf(record.kind, record.name));
    this.#records.apply(puts);
    const passed = removals.filter((removal) => !this.#keeps(hold, removal, batch.isRelist));
    this.#records.apply(passed);
    for (const { kind, name } of passed) if (kind === "Service") hold.guarded.delete(name);
    this.#releaseSlices(hold);

    const lost = this.#lost(hold).size;
    if (lost === 0) return this.#end(hold, "came-back");
    if (begun !== undefined) return { kind: "began", removal: this.#describe(hold) };
    return lost === lostBefore ? undefined : { kind: "changed", removal: this.#describe(hold) };
  }

  /** Lets a removal go on that has lasted. */
  pass(nowMs: number): HoldEvent | undefined {
    const hold = this.#hold;
    if (hold === undefined || nowMs < hold.sinceMs + this.#limits.holdMs) return undefined;
    return this.#end(hold, "lasted");
  }

  confirm(nowMs: number): HoldEvent | undefined {
    const hold = this.#hold;
    if (hold === undefined) return undefined;
    const kinds = new Set(losingKinds.filter((kind) => !hold.relisted.has(kind)));
    this.#cover = { kinds, untilMs: nowMs + this.#limits.holdMs };
    return this.#end(hold, "confirmed");
  }

  // Whether a relist of these kinds is of a loss that was confirmed; the next one is not.
  #takeCover(kinds: readonly RecordKind[], nowMs: number): boolean {
    const cover = this.#cover;
    if (cover === undefined || kinds.length === 0) return false;
    const isCovered = nowMs < cover.untilMs && kinds.every((kind) => cover.kinds.has(kind));
    for (const kind of kinds) cover.kinds.delete(kind);
    return isCovered;
  }

  // Cheap: most batches remove nothing or little.
  #isDoubtful({ isRelist, changes }: ChangeBatch): boolean {
    if (!isRelist || this.#limits.thresholdPercent === 0) return false;
    let removals = 0;
    for (const { op } of changes) if (op === "remove") removals++;
    return removals >= this.#limits.servicesMin;
  }

  // Undefined: this relist may be believed.
  #begin(
    puts: readonly Put[],
    removals: readonly Removal[],
    nowMs: number,
  ): { readonly hold: Hold; readonly lost: ReadonlySet<string> } | undefined {
    const records = this.#records;
    const lost = new Set<string>();
    const slicesGone = new Map<string, number>();
    for (const { kind, name } of removals) {
      if (kind === "Service" && records.hasService(name)) lost.add(name);
      if (kind !== "EndpointSlice") continue;
      const service = records.serviceOfSlice(name);
      if (service !== undefined) slicesGone.set(service, (slicesGone.get(service) ?? 0) + 1);
    }
    for (const { record } of puts) if (record.kind === "EndpointSlice") slicesGone.delete(record.service);
    for (const [service, count] of slicesGone) {
      if (records.hasService(service) && countOf(records.slicesOf(service)) === count) lost.add(service);
    }
    const ofServices = records.serviceCount;
    if (!isMassRemoval(lost.size, ofServices, this.#limits)) return undefined;
    const guarded = new Set(records.serviceNames);
    return { hold: { sinceMs: nowMs, ofServices, guarded, removals: new Map(), relisted: new Set() }, lost };
  }

  // Keeps the removal from going on, if it must be.
  #keeps(hold: Hold, removal: Removal, isRelist: boolean): boolean {
    const { kind, name } = removal;
    const key = keyOf(kind, name);
    if (hold.removals.has(key)) return true;
    if (!this.#isDoubted(hold, kind, name, isRelist)) return false;
    hold.removals.set(key, removal);
    return true;
  }

  #isDoubted(hold: Hold, kind: RecordKind, name: string, isRelist: boolean): boolean {
    switch (kind) {
      case "Service":
        return isRelist && hold.guarded.has(name);
      case "EndpointSlice": {
        const service = this.#records.serviceOfSlice(name);
        if (service === undefined || !hold.guarded.has(service)) return false;
        return isRelist || hold.removals.has(keyOf("Service", service));
      }
      // A source that is not believed takes no zones, addresses and service CIDRs away either.
      case "Node":
      case "ServiceCIDR":
        return isRelist;
    }
  }

  // Slices of services that stay and have another slice, and of services that are gone for good, are removed as ever.
  #releaseSlices(hold: Hold): void {
    const released: Removal[] = [];
    const isStaying = new Map<string, boolean>();
    for (const removal of hold.removals.values()) {
      if (removal.kind !== "EndpointSlice") continue;
      const service = this.#records.serviceOfSlice(removal.name);
      if (service === undefined || this.#isStaying(hold, service, isStaying)) released.push(removal);
    }
    for (const { kind, name } of released) hold.removals.delete(keyOf(kind, name));
    this.#records.apply(released);
  }

  #isStaying(hold: Hold, service: string, known: Map<string, boolean>): boolean {
    let isStaying = known.get(service);
    if (isStaying === undefined) {
      isStaying = !hold.guarded.has(service) || !this.#isLost(hold, service);
      known.set(service, isStaying);
    }
    return isStaying;
  }

  #isLost(hold: Hold, service: string): boolean {
    if (hold.removals.has(keyOf("Service", service))) return true;
    for (const slice of this.#records.slicesOf(service))
      if (!hold.removals.has(keyOf("EndpointSlice", slice))) return false;
    return true;
  }

  #lost(hold: Hold): ReadonlySet<string> {
    const lost = new Set<string>();
    for (const { kind, name } of hold.removals.values()) {
      if (kind === "Service") lost.add(name);
      // What is held of slices is held because it is all that their service has.
      if (kind === "EndpointSlice") lost.add(this.#records.serviceOfSlice(name) ?? name);
    }
    return lost;
  }

  #end(hold: Hold, how: HoldEnd): HoldEvent {
    const removal = this.#describe(hold);
    this.#hold = undefined;
    this.#records.apply([...hold.removals.values()]);
    return { kind: "ended", removal, how };
  }

  #describe(hold: Hold, lost = this.#lost(hold)): HeldRemoval {
    const names = [...lost].toSorted(compareText).slice(0, namesMax);
    const { sinceMs, ofServices } = hold;
    return { services: lost.size, ofServices, sinceMs, untilMs: sinceMs + this.#limits.holdMs, names };
  }
}

// The last word on each object.
function newest(changes: readonly RecordChange[]): { readonly puts: Put[]; readonly removals: Removal[] } {
  const last = new Map<string, RecordChange>();
  for (const change of changes) {
    last.set(
      change.op === "put" ? keyOf(change.record.kind, change.record.name) : keyOf(change.kind, change.name),
      change,
    );
  }
  const puts: Put[] = [];
  const removals: Removal[] = [];
  for (const change of last.values()) {
    if (change.op === "put") puts.push(change);
    else removals.push(change);
  }
  return { puts, removals };
}

function keyOf(kind: RecordKind, name: string): string {
  return `${kind} ${name}`;
}

function countOf(of: Iterable<unknown>): number {
  let count = 0;
  for (const _ of of) count++;
  return count;
}
