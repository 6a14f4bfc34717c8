/** The manifests below a folder, by stat: shell. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { compareUtf8 } from "./folder.ts";
import { notRegular, reasonOf } from "./reason.ts";

/** Directories below the folder; more are left out, loudly. */
const directoriesMax = 10_000;

/** Tells two contents of a path apart without reading: device, inode, size, and the times of its last changes. */
export type Stamp = string & { readonly brand: "Stamp" };

export interface FolderListing {
  /** By path below the folder; only regular files, symbolic links followed. */
  readonly files: ReadonlyMap<string, Stamp>;
  /** By path below the folder ("" is the folder itself): what identifies the directory behind it. */
  readonly directories: ReadonlyMap<string, string>;
  /** Paths that could not be looked at, and why. What was known below them is still believed. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/**
 * Looks at everything below `folder`. Hidden names (with a leading dot) are left out. Symbolic links are followed; a directory
 * that was met already is not entered again.
 *
 * @param enter called with each directory before it is listed, so that a watch on it misses nothing.
 */
export async function listFolder(
  folder: string,
  enter: (path: string, identity: string) => void = () => {},
): Promise<FolderListing> {
  const files = new Map<string, Stamp>();
  const directories = new Map<string, string>();
  const unreadable = new Map<string, string>();
  const entered = new Set<string>();
  const pending = [""];

  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    try {
      const status = await stat(join(folder, path), { bigint: true });
      // Inode numbers are used again; the time of birth tells a directory from one that was made in its place.
      const identity = `${status.dev}:${status.ino}:${status.birthtimeNs}`;
      if (entered.has(identity)) continue;
      if (entered.size === directoriesMax) {
        unreadable.set(path, `more than ${directoriesMax} directories; this one and what follows is left out`);
        break;
      }
      entered.add(identity);
      enter(path, identity);
      const names = (await readdir(join(folder, path))).filter((name) => !name.startsWith("."));
      directories.set(path, identity);
      const found = await Promise.all(names.map((name) => look(folder, path === "" ? name : `${path}/${name}`)));
      for (const entry of found) {
        if (entry.kind === "file") files.set(entry.path, entry.stamp);
        else if (entry.kind === "unreadable") unreadable.set(entry.path, entry.reason);
      }
      // Sorted, so that of two ways to one directory the same is taken each time; the stack pops the smallest first.
      const below = found.filter((entry) => entry.kind === "directory").map((entry) => entry.path);
      pending.push(...below.toSorted((a, b) => compareUtf8(b, a)));
    } catch (error) {
      // A directory that vanished while it was being listed is gone; the folder itself must be there.
      if (path === "" || !isGone(error)) unreadable.set(path, reasonOf(error));
    }
  }
  return { files, directories, unreadable };
}

type Entry =
  | { readonly kind: "file"; readonly path: string; readonly stamp: Stamp }
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "unreadable"; readonly path: string; readonly reason: string }
  | { readonly kind: "other" };

async function look(folder: string, path: string): Promise<Entry> {
  try {
    const status = await stat(join(folder, path), { bigint: true });
    if (status.isDirectory()) return { kind: "directory", path };
    if (!isManifest(path)) return { kind: "other" };
    if (!status.isFile()) return { kind: "unreadable", path, reason: notRegular };
    return { kind: "file", path, stamp: stampOf(status) };
  } catch (error) {
    if (isGone(error) || !isManifest(path)) return { kind: "other" };
    return { kind: "unreadable", path, reason: reasonOf(error) };
  }
}

function isManifest(path: string): boolean {
  return /\.(?:ya?ml|json)$/i.test(path);
}

function isGone(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

export function stampOf(status: {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}): Stamp {
  return `${status.dev}:${status.ino}:${status.size}:${status.mtimeNs}:${status.ctimeNs}` as Stamp;
}
