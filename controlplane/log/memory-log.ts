/**
 * A history in the memory of one control plane: its epoch is this process, and there is nothing to replay. The catalog already
 * holds what agents need, so nothing is kept a second time.
 */
import { epoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Epoch } from "@weft/proto/cursor.ts";
import type { Appended, CommitLog, Replayed } from "./commit-log.ts";

const appended: Promise<Appended> = Promise.resolve({ kind: "appended" });

export class MemoryLog implements CommitLog {
  readonly kind = "memory";
  readonly #epoch: Epoch;

  /** `startedMs`: unix milliseconds; `random`: 32 random bits. */
  constructor(startedMs: number, random: number) {
    this.#epoch = epoch(startedMs, random);
  }

  replay(): Promise<Replayed> {
    return Promise.resolve({ epoch: this.#epoch, head: revisionZero, resources: [] });
  }

  append(): Promise<Appended> {
    return appended;
  }
}
