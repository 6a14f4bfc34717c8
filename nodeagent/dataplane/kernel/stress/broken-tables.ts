/** State tables that break one rule each: tests must notice. */
import { StateTable } from "../state-table.ts";

/** Rolls back by clearing the whole state. */
export class ZeroOnRollback extends StateTable {
  override rollback(index: number): void {
    this.clear(index);
  }
}

/** A second staging in one round goes into the other word: that of the live revision. */
export class TwiceIntoTheOther extends StateTable {
  override stage(index: number, sequence: bigint, descriptor: number): void {
    const at = index * 5 + 3;
    const isFirst = (this.words[at] ?? 0n) <= (this.words[at + 1] ?? 0n);
    this.store(this.words, isFirst ? at : at + 1, (sequence << 24n) | BigInt(descriptor));
  }
}
