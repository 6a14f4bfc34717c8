/**
 * Epochs, revisions and cursors (DESIGN words). A cursor is a position in a history of commits.
 * Printed: an epoch as `<ms>-<8 hex>`, a cursor as `1763881972000-9f3a12bc.42`.
 */

/** Number of a commit; grows by one per commit. 0 stands for "before the first". */
export type Revision = number & { readonly brand: "Revision" };

/** One unbroken history of revisions. */
export interface Epoch {
  /** Unix milliseconds of creation. */
  readonly createdMs: number;
  /** 32 random bits, unsigned. */
  readonly random: number;
}

export interface Cursor {
  readonly epoch: Epoch;
  readonly revision: Revision;
}

export const revisionZero = 0 as Revision;

/** @throws RangeError unless `value` is an integer from 0 to 2^53-1. */
export function revision(value: number | bigint): Revision {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`not a revision: ${value}`);
  return number as Revision;
}

export function nextRevision(of: Revision): Revision {
  return revision(of + 1);
}

/** @throws RangeError unless both parts are in range. */
export function epoch(createdMs: number | bigint, random: number): Epoch {
  const ms = Number(createdMs);
  if (!Number.isSafeInteger(ms) || ms < 0) throw new RangeError(`not an epoch: created at ${createdMs}`);
  if (!Number.isInteger(random) || random < 0 || random > 0xffff_ffff) {
    throw new RangeError(`not an epoch: random bits ${random}`);
  }
  return { createdMs: ms, random };
}

/** Negative: `a` is older. By creation time, then by the random bits. */
export function compareEpochs(a: Epoch, b: Epoch): number {
  return a.createdMs - b.createdMs || a.random - b.random;
}

export function isSameEpoch(a: Epoch, b: Epoch): boolean {
  return a.createdMs === b.createdMs && a.random === b.random;
}

export function printEpoch(of: Epoch): string {
  return `${of.createdMs}-${of.random.toString(16).padStart(8, "0")}`;
}

export function printCursor(of: Cursor): string {
  return `${printEpoch(of.epoch)}.${of.revision}`;
}

/** Undefined if `text` is not a printed epoch. */
export function parseEpoch(text: string): Epoch | undefined {
  const match = /^(\d{1,16})-([0-9a-f]{8})$/.exec(text);
  if (match === null) return undefined;
  const ms = Number(match[1]);
  return Number.isSafeInteger(ms) ? epoch(ms, Number.parseInt(match[2] ?? "", 16)) : undefined;
}

/** Undefined if `text` is not a printed cursor. */
export function parseCursor(text: string): Cursor | undefined {
  const dot = text.lastIndexOf(".");
  if (dot < 0) return undefined;
  const parsed = parseEpoch(text.slice(0, dot));
  const digits = text.slice(dot + 1);
  if (parsed === undefined || !/^\d{1,16}$/.test(digits) || !Number.isSafeInteger(Number(digits))) return undefined;
  return { epoch: parsed, revision: revision(Number(digits)) };
}
