/** Removes what an agent left: links first, so that packets go straight again, then maps. Safe to repeat at any point. */
import fs from "node:fs";
import path from "node:path";
import { detachPinned } from "./libbpf.ts";
import { isOnBpffs, isOurs, linksFolder, lockPinFolder, removedPrefix } from "./pin-folder.ts";
import { errnoOf } from "@weft/proto/program/errno.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";

export interface CleanupOptions {
  readonly bpffs: string;
  /** Probe cgroups that a killed agent left below it are removed too. */
  readonly cgroup?: string | undefined;
}

/** Paths that were removed; [] if there was nothing. @throws ProgramError if an agent runs, naming its pid. */
export function cleanupPinned({ bpffs, cgroup }: CleanupOptions): string[] {
  const removed: string[] = [];
  if (fs.existsSync(bpffs)) {
    if (!isOnBpffs(bpffs)) {
      throw new ProgramError("invalid-file", `--bpffs ${bpffs} is not on a bpf file system`, {
        remedy: "name the folder that the agent was given",
      });
    }
    const lock = lockPinFolder(bpffs);
    try {
      const folders = fs.readdirSync(bpffs).filter(isOurs).toSorted();
      const isLinks = (name: string): boolean => name === linksFolder;
      for (const name of [...folders.filter(isLinks), ...folders.filter((other) => !isLinks(other))]) {
        removed.push(...removeFolder(bpffs, name));
      }
      if (removeIfEmpty(bpffs)) removed.push(bpffs);
    } finally {
      lock[Symbol.dispose]();
    }
  }
  if (cgroup !== undefined && fs.existsSync(cgroup)) removed.push(...removeProbes(cgroup));
  return removed;
}

/** Renamed first: an agent that starts in between never takes half of the maps for all of them. */
export function removeFolder(bpffs: string, name: string): string[] {
  const removed: string[] = [];
  let folder = path.join(bpffs, name);
  if (!name.startsWith(removedPrefix) && name !== linksFolder) {
    const renamed = path.join(bpffs, `${removedPrefix}${name}`);
    if (fs.existsSync(renamed)) removed.push(...removeFolder(bpffs, `${removedPrefix}${name}`));
    fs.renameSync(folder, renamed);
    folder = renamed;
  }
  for (const pin of fs.readdirSync(folder)) {
    if (name === linksFolder) detachPinned(path.join(folder, pin));
    fs.unlinkSync(path.join(folder, pin));
    removed.push(path.join(bpffs, name, pin));
  }
  fs.rmdirSync(folder);
  removed.push(path.join(bpffs, name));
  return removed;
}

// A mount point, or what else somebody keeps there, stays.
function removeIfEmpty(folder: string): boolean {
  if (fs.readdirSync(folder).length > 0) return false;
  try {
    fs.rmdirSync(folder);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EBUSY") return false;
    throw error;
  }
}

/** Cgroups of probes whose agent was killed in the middle; one that is in use stays. */
export function removeProbes(cgroup: string): string[] {
  const removed: string[] = [];
  for (const name of fs.readdirSync(cgroup)) {
    if (!/^weft-probe-\d+$/.test(name)) continue;
    const child = path.join(cgroup, name);
    if (fs.readFileSync(path.join(child, "cgroup.procs"), "utf8") !== "") continue;
    fs.rmdirSync(child);
    removed.push(child);
  }
  return removed;
}
