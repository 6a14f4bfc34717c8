/**
 * Makes digest cuts over the event loop: at once it takes 80 to 140 ms with 260,000 resources. Streams wait until theirs is made. One that was
 * begun is brought to its end and handed over, however much is committed meanwhile.
 */
import type { Catalog } from "../catalog/catalog.ts";
import { DigestCut } from "./digest-cut.ts";
import { eachPaced } from "./each-paced.ts";

export interface CutLimits {
  /** Entries of the catalog read in one turn of the event loop, tombstones included. */
  readonly cutEntriesPerTurn: number;
  /** A cut is given to newcomers until it is this old, even if the head moved on. */
  readonly snapshotAgeMaxMs: number;
}

/** Streams that compare their sums, 0.2 ms each, in one turn. */
const handedPerTurn = 8;

interface Making {
  readonly slices: Iterator<undefined, DigestCut>;
  readonly begunMs: number;
}

export class DigestCuts {
  readonly #catalog: Catalog;
  readonly #limits: CutLimits;
  #cut: { readonly cut: DigestCut; readonly begunMs: number } | undefined;
  #making: Making | undefined;
  #waiting: ((cut: DigestCut) => void)[] = [];

  constructor(catalog: Catalog, limits: CutLimits) {
    this.#catalog = catalog;
    this.#limits = limits;
  }

  /** Of the head or of a revision shortly before. Undefined: it is being made from now on; see `whenMade`. */
  get(nowMs: number): DigestCut | undefined {
    const { head, floor } = this.#catalog;
    if (this.#cut !== undefined) {
      const { cut, begunMs } = this.#cut;
      const isYoung = nowMs - begunMs < this.#limits.snapshotAgeMaxMs && cut.revision >= floor;
      if (cut.revision === head || isYoung) return cut;
    }
    if (this.#making !== undefined) return undefined;
    const slices = DigestCut.inSlices(this.#catalog, this.#limits.cutEntriesPerTurn);
    this.#making = { slices, begunMs: nowMs };
    return this.#goOn(this.#making);
  }

  /** Calls back with the cut that is being made. Those that wait for it get it one after the other. */
  whenMade(made: (cut: DigestCut) => void): void {
    this.#waiting.push(made);
  }

  /** Nobody reads or awaits one any more. */
  forget(): void {
    this.#cut = undefined;
    this.#making = undefined;
    this.#waiting = [];
  }

  #goOn(making: Making): DigestCut | undefined {
    if (this.#making !== making) return undefined;
    const next = making.slices.next();
    if (next.done !== true) {
      setImmediate(() => this.#goOn(making));
      return undefined;
    }
    this.#making = undefined;
    this.#cut = { cut: next.value, begunMs: making.begunMs };
    const waiting = this.#waiting;
    this.#waiting = [];
    eachPaced(waiting, handedPerTurn, (made) => made(next.value));
    return next.value;
  }
}
