/**
 * Rings when something below a folder may have changed: one inotify watch per directory (Node's own recursive watch takes one
 * per file and loses events). A ring is a hint; what is true is found by looking, and looked at from time to time without one.
 */
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

interface Watched {
  readonly identity: string;
  readonly watcher: FSWatcher;
}

export class FolderWatch implements Disposable {
  readonly #folder: string;
  readonly #ring: () => void;
  readonly #watched = new Map<string, Watched>();
  /** Directories that the kernel gave no watch for (fs.inotify.max_user_watches), which only the periodic look covers. */
  #unwatchedCount = 0;

  constructor(folder: string, ring: () => void) {
    this.#folder = resolve(folder);
    this.#ring = ring;
    // The folder may be a link that is swapped, or be removed and made again: only its parent sees that.
    const name = basename(this.#folder);
    const parent = openWatch(dirname(this.#folder), (changed) => {
      if (changed === name || changed === null) this.#ring();
    });
    if (parent !== undefined) this.#watched.set("..", { identity: "", watcher: parent });
  }

  get unwatchedCount(): number {
    return this.#unwatchedCount;
  }

  /** To be called before the directory is listed. A directory that was replaced by another is watched anew. */
  enter(path: string, identity: string): void {
    const watched = this.#watched.get(path);
    if (watched?.identity === identity) return;
    watched?.watcher.close();
    this.#watched.delete(path);
    const watcher = openWatch(
      join(this.#folder, path),
      () => this.#ring(),
      () => this.#lost(path),
    );
    if (watcher === undefined) this.#unwatchedCount++;
    else this.#watched.set(path, { identity, watcher });
  }

  /** Ends the watches on all but these directories; the next round of `enter` counts what has no watch. */
  keep(directories: ReadonlyMap<string, string>): void {
    this.#unwatchedCount = 0;
    for (const [path, { watcher }] of this.#watched) {
      if (path === ".." || directories.has(path)) continue;
      watcher.close();
      this.#watched.delete(path);
    }
  }

  [Symbol.dispose](): void {
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
  }

  #lost(path: string): void {
    this.#watched.get(path)?.watcher.close();
    this.#watched.delete(path);
    this.#ring();
  }
}

// Undefined: not watchable, for lack of watches or because it is gone; the next look says which.
function openWatch(
  path: string,
  changed: (name: string | null) => void,
  lost: () => void = () => {},
): FSWatcher | undefined {
  try {
    const watcher = watch(path, (_event, name) => changed(name));
    watcher.on("error", lost);
    return watcher;
  } catch {
    return undefined;
  }
}
