/** A folder of manifests as a source: watches it, scans it, and tells the sink what changed. Shell over `Folder` and `Settling`. */
import { setImmediate as yieldToLoop } from "node:timers/promises";
import { unixMs } from "@weft/proto/program/clock.ts";
import type { Source, SourceSink } from "../source.ts";
import { FolderWatch } from "./folder-watch.ts";
import { Folder } from "./folder.ts";
import type { FileReading } from "./folder.ts";
import { listFolder } from "./list-folder.ts";
import type { FolderListing } from "./list-folder.ts";
import { readManifestFile } from "./read-file.ts";
import type { FileLook } from "./read-file.ts";
import { fileRefusal } from "./refusal.ts";
import type { RefusalChange } from "./refusal.ts";
import { ScanBell } from "./scan-bell.ts";
import { Settling } from "./settling.ts";

/** Events get lost (a link's target on another path, a full queue): everything is looked at, by stat, this often. */
const rescanMs = 5_000;
/** While the folder, or a watch on it, is missing. */
const rescanUnwatchedMs = 1_000;

export interface ManifestsSourceOptions {
  readonly folder: string;
  /** Each refusal once when it appears and once when it is gone; those of one scan come before its changes. */
  readonly onRefusals: (change: RefusalChange) => void;
}

export class ManifestsSource implements Source {
  readonly #path: string;
  readonly #onRefusals: (change: RefusalChange) => void;
  readonly #folder = new Folder();
  readonly #settling = new Settling();
  /** Every file that something is held of or said about; undefined: it must be read again at the next look. */
  readonly #known = new Map<string, string | undefined>();
  /** Looks at files that are not taken yet, because the batch waits. */
  readonly #waiting = new Map<string, FileLook>();
  /** Directories that could not be read. */
  #unreadable: ReadonlySet<string> = new Set();
  #isSynced = false;

  constructor(options: ManifestsSourceOptions) {
    this.#path = options.folder;
    this.#onRefusals = options.onRefusals;
  }

  get hasNodes(): boolean {
    return this.#folder.hasNodes;
  }

  async run(sink: SourceSink, signal: AbortSignal): Promise<void> {
    const bell = new ScanBell();
    using watch = new FolderWatch(this.#path, () => bell.ring());
    let noticedAtMs = unixMs();
    while (!signal.aborted) {
      const listing = await listFolder(this.#path, (path, identity) => watch.enter(path, identity));
      const readings = new Map<string, FileReading>();
      const againInMs = await this.#look(listing, readings, signal);
      if (signal.aborted) return;
      readings.set(watchPath, watch.unwatchedCount === 0 ? gone.reading : unwatched(watch.unwatchedCount));
      this.#deliver(listing, readings, noticedAtMs, sink);
      const isCovered = listing.unreadable.size === 0 && watch.unwatchedCount === 0;
      watch.keep(listing.directories);
      const nextInMs = Math.min(againInMs, isCovered ? rescanMs : rescanUnwatchedMs);
      const ringsAtMs = await bell.due(nextInMs, signal);
      // A batch that waited was noticed when its first change was.
      if (againInMs === Infinity) noticedAtMs = ringsAtMs;
    }
  }

  // Fills `readings` with what counts now. Returns when to look again at what does not count yet; Infinity: nothing waits.
  async #look(listing: FolderListing, readings: Map<string, FileReading>, signal: AbortSignal): Promise<number> {
    const looks = await this.#read(listing, signal);
    let againInMs = Infinity;
    let isHeld = false;
    const nowMs = performance.now();
    for (const [path, { reading, stamp, isChanging }] of looks) {
      const seen = isChanging ? undefined : (listing.files.get(path) ?? stamp ?? "");
      const verdict = this.#isOldNews(path, reading)
        ? settled
        : this.#settling.judge(path, reading, seen, this.#folder.sizeOf(path), nowMs);
      if (verdict.kind === "settled") {
        readings.set(path, reading);
      } else {
        againInMs = Math.min(againInMs, verdict.againInMs);
        isHeld ||= verdict.isHolding;
      }
    }
    for (const path of this.#settling.paths()) if (!looks.has(path)) this.#settling.forget(path);
    if (isHeld) {
      readings.clear();
      for (const [path, look] of looks) this.#waiting.set(path, look);
      return againInMs;
    }
    this.#waiting.clear();
    for (const [path, reading] of readings) {
      this.#settling.forget(path);
      if (reading.kind === "gone") this.#known.delete(path);
      else this.#known.set(path, looks.get(path)?.stamp);
    }
    return againInMs;
  }

  // The first scan answers at once: there is nothing yet that could be removed by mistake.
  #isOldNews(path: string, reading: FileReading): boolean {
    return !this.#isSynced || (reading.kind === "unreadable" && this.#folder.isUnreadable(path));
  }

  // Reads the files that are not as they are known.
  async #read(listing: FolderListing, signal: AbortSignal): Promise<Map<string, FileLook>> {
    const looks = new Map<string, FileLook>();
    for (const [path, stamp] of listing.files) {
      if (this.#known.get(path) === stamp) continue;
      const waiting = this.#waiting.get(path);
      looks.set(path, waiting?.stamp === stamp ? waiting : await readManifestFile(this.#path, path));
      // Parsing is synchronous; streams and heartbeats come between two files.
      await yieldToLoop();
      if (signal.aborted) break;
    }
    for (const path of this.#known.keys()) {
      if (!listing.files.has(path) && !isBelow(path, listing.unreadable)) looks.set(path, gone);
    }
    return looks;
  }

  #deliver(listing: FolderListing, readings: Map<string, FileReading>, noticedAtMs: number, sink: SourceSink): void {
    for (const path of this.#unreadable)
      if (!listing.unreadable.has(path)) readings.set(nameOf(path), readings.get(path) ?? gone.reading);
    for (const [path, reason] of listing.unreadable) {
      const refusal = fileRefusal(
        nameOf(path),
        undefined,
        `cannot be read: ${reason}; what was read there before still counts`,
      );
      readings.set(nameOf(path), { kind: "unreadable", refusal });
    }
    this.#unreadable = new Set(listing.unreadable.keys());
    const { changes, refusals } = this.#folder.update(readings);
    if (refusals.added.length > 0 || refusals.cleared.length > 0) this.#onRefusals(refusals);
    if (changes.length > 0) sink.changes({ changes, isRelist: true, noticedAtMs });
    if (!this.#isSynced && !listing.unreadable.has("")) {
      this.#isSynced = true;
      sink.synced();
    }
  }
}

const gone: FileLook = { reading: { kind: "gone" }, stamp: undefined, isChanging: false };

/** Stands for the watches; no file has this path. */
const watchPath = "./";

function unwatched(count: number): FileReading {
  const message = `${count} directories have no watch, so changes in them take up to ${rescanUnwatchedMs} ms; raise fs.inotify.max_user_watches or max_user_instances`;
  return { kind: "unreadable", refusal: fileRefusal(".", undefined, message) };
}

const settled = { kind: "settled" } as const;

function nameOf(path: string): string {
  return path === "" ? "." : path;
}

function isBelow(path: string, parents: ReadonlyMap<string, string>): boolean {
  if (parents.size === 0) return false;
  if (parents.has("") || parents.has(path)) return true;
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1))
    if (parents.has(path.slice(0, slash))) return true;
  return false;
}
