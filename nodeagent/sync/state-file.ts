/**
 * The state on disk: one file of a snapshot and an appended journal (state-codec.ts), replaced whole by rename when the journal
 * outgrows the snapshot. Never fatal: a disk that cannot be written leaves the node serving, with `isStale` set, and a whole
 * snapshot is tried again every 30 s. So is one that does not fit beside a journal that still goes on.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { errnoOf } from "@weft/proto/program/errno.ts";
import { messageOf } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { makeFolder } from "@weft/proto/program/make-folder.ts";
import { encodeHeader, encodeWrite, headerBytes, readState } from "./state-codec.ts";
import type { SavedState, StateWrite } from "./state-codec.ts";

export const syncIntervalMs = 1_000;
export const snapshotRetryMs = 30_000;
/** A journal shorter than this is not worth a rewrite. */
export const journalBytesMin = 1_024 * 1_024;

export interface StateFileOptions {
  readonly folder: string;
  readonly log: Log;
  /** Milliseconds, monotonic. */
  readonly nowMs?: () => number;
  /** Writes some of `bytes` and says how many. Default: writeSync. */
  readonly write?: (fd: number, bytes: Uint8Array) => number;
}

export interface OpenedState {
  readonly file: StateFile;
  /** Undefined: nothing usable was there. */
  readonly saved: SavedState | undefined;
}

export class StateFile implements Disposable {
  readonly #path: string;
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #write: (fd: number, bytes: Uint8Array) => number;
  // Undefined: the last write failed, or nothing was written yet.
  #fd: number | undefined;
  #snapshotBytes = 0;
  #journalBytes = 0;
  #staleSinceMs: number | undefined;
  // The journal goes on, but a whole snapshot failed.
  #isOvergrown = false;
  #retryAtMs = 0;
  // Journal records since the snapshot that is being written was taken.
  #meanwhile: Uint8Array[] | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(options: StateFileOptions) {
    this.#path = join(options.folder, stateFileName);
    this.#log = options.log;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#write = options.write ?? ((fd, bytes) => writeSync(fd, bytes));
  }

  /** Reads what is there, cuts a torn tail, and is ready to append. */
  static open(options: StateFileOptions): OpenedState {
    const file = new StateFile(options);
    return { file, saved: file.#read() };
  }

  /** The file is behind what is live. */
  get isStale(): boolean {
    return this.#staleSinceMs !== undefined;
  }

  /** Bytes of the file. */
  get bytes(): number {
    return this.#snapshotBytes + this.#journalBytes;
  }

  /**
   * A whole snapshot is due: the next moment at which the store is what was journaled should give one to `rewrite`. Asked every second:
   * here it is noticed that somebody has removed the file.
   */
  get wantsSnapshot(): boolean {
    if (this.#meanwhile !== undefined || this.#isClosed) return false;
    this.#checkName();
    if (this.#nowMs() < this.#retryAtMs) return false;
    if (this.#fd === undefined) return true;
    return this.#journalBytes > Math.max(this.#snapshotBytes, journalBytesMin);
  }

  /** Writes one step to the journal before it returns; never throws. Nothing is appended to a file that is stale. */
  append(write: StateWrite): void {
    if (this.#fd === undefined && this.#meanwhile === undefined) return;
    try {
      const records = this.#meanwhile === undefined ? encodeWrite(write) : [...encodeWrite(write)];
      // First and whole: a step that fails half-way below is still complete in the new file.
      if (Array.isArray(records)) this.#meanwhile?.push(...records);
      if (this.#fd === undefined) return;
      for (const record of records) {
        this.#writeAll(this.#fd, record);
        this.#journalBytes += record.length;
      }
      this.#syncSoon();
    } catch (error) {
      this.#failed(error);
    }
  }

  /**
   * Replaces the file by this whole state; never rejects. `whole.puts` must not change while it runs: pass a copy. What is appended
   * meanwhile is part of the new file.
   */
  async rewrite(whole: StateWrite): Promise<void> {
    const temporary = `${this.#path}.new`;
    let fd: number | undefined;
    this.#meanwhile = [];
    try {
      // Whoever emptied /var may have taken the folder, too.
      makeFolder(dirname(this.#path), 0o700);
      fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND, 0o600);
      this.#writeAll(fd, encodeHeader());
      let size = headerBytes;
      for (const record of encodeWrite(whole)) {
        this.#writeAll(fd, record);
        size += record.length;
        // A large snapshot must not hold up rounds and heartbeats.
        await nextTurn();
        if (this.#isClosed) return;
      }
      await dataSync(fd);
      // From here on nothing yields, so nothing is appended to the old file only.
      let journal = 0;
      for (const record of this.#meanwhile) {
        this.#writeAll(fd, record);
        journal += record.length;
      }
      if (this.#isClosed) return;
      renameSync(temporary, this.#path);
      if (this.#fd !== undefined) close(this.#fd);
      this.#fd = fd;
      fd = undefined;
      this.#snapshotBytes = size;
      this.#journalBytes = journal;
      if (this.isStale || this.#isOvergrown) {
        this.#log.info("state on disk is current again", { file: this.#path });
      }
      this.#staleSinceMs = undefined;
      this.#isOvergrown = false;
    } catch (error) {
      if (this.#fd === undefined) this.#failed(error);
      else this.#overgrown(error);
    } finally {
      this.#meanwhile = undefined;
      if (fd !== undefined) {
        close(fd);
        removeIfPossible(temporary);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#syncTimer);
    if (this.#fd !== undefined) close(this.#fd);
    this.#fd = undefined;
  }

  #read(): SavedState | undefined {
    let bytes: Uint8Array | undefined;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") {
        this.#log.warn(`cannot read the state on disk: ${messageOf(error)}; starting without it`, { file: this.#path });
      }
    }
    const reading = bytes === undefined ? undefined : readState(bytes);
    if (reading?.kind === "unusable") {
      this.#log.warn(`the state on disk is ignored and will be replaced: ${reading.reason}`, { file: this.#path });
    }
    if (reading?.kind !== "state" || bytes === undefined) {
      this.#create();
      return undefined;
    }
    if (reading.goodBytes < bytes.length) {
      this.#log.warn("the end of the state on disk is torn or damaged: going on from the last good record", {
        file: this.#path,
        lostBytes: bytes.length - reading.goodBytes,
      });
    }
    try {
      const fd = openSync(this.#path, constants.O_WRONLY | constants.O_APPEND);
      ftruncateSync(fd, reading.goodBytes);
      this.#fd = fd;
      this.#snapshotBytes = reading.goodBytes;
    } catch (error) {
      this.#failed(error);
    }
    return reading.state;
  }

  #create(): void {
    try {
      remove(this.#path);
      const fd = openSync(
        this.#path,
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND,
        0o600,
      );
      this.#fd = fd;
      this.#writeAll(fd, encodeHeader());
      this.#snapshotBytes = headerBytes;
    } catch (error) {
      this.#failed(error);
    }
  }

  #writeAll(fd: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += this.#write(fd, bytes.subarray(at));
  }

  // What is appended to a file that has lost its name is lost.
  #checkName(): void {
    if (this.#fd === undefined) return;
    try {
      if (fstatSync(this.#fd).nlink > 0) return;
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#failed(new Error("somebody has removed it"));
    // Nothing is wrong with the disk.
    this.#retryAtMs = 0;
  }

  #overgrown(error: unknown): void {
    this.#retryAtMs = this.#nowMs() + snapshotRetryMs;
    if (this.#isOvergrown) return;
    this.#isOvergrown = true;
    this.#log.warn(
      `cannot write the state on disk anew: ${messageOf(error)}; nothing is lost, but its journal goes on growing: free space ` +
        `or fix ${this.#path}; tried again every ${snapshotRetryMs / 1_000} s`,
      { bytes: this.bytes },
    );
  }

  #failed(error: unknown): void {
    if (this.#fd !== undefined) close(this.#fd);
    this.#fd = undefined;
    this.#retryAtMs = this.#nowMs() + snapshotRetryMs;
    if (this.#staleSinceMs !== undefined) return;
    this.#staleSinceMs = this.#nowMs();
    this.#log.error(
      `cannot write the state on disk: ${messageOf(error)}; the node goes on serving, but a reboot would restore an older state: ` +
        `free space or fix ${this.#path}; tried again every ${snapshotRetryMs / 1_000} s`,
    );
  }

  #syncSoon(): void {
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = undefined;
      const fd = this.#fd;
      if (fd === undefined) return;
      fdatasync(fd, (error) => {
        // The file may have been replaced meanwhile: the new one was synced before it took the name.
        if (error !== null && fd === this.#fd) this.#failed(error);
      });
    }, syncIntervalMs).unref();
  }
}

const stateFileName = "state.weft";

function dataSync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}

function close(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // What the disk says now of what was written is known already, or does not matter any more.
  }
}

function removeIfPossible(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // A file system that has become read-only keeps it; the next snapshot writes over it.
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
