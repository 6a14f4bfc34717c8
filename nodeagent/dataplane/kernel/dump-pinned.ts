/** What packets can hit, from the pins alone: no agent is needed, and one may run meanwhile. */
import fs from "node:fs";
import path from "node:path";
import type { Cursor } from "@weft/proto/cursor.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import type { Frontend } from "../../plan/frontend.ts";
import { liveCursor } from "./adopt.ts";
import { readRangeSets } from "./element-key.ts";
import { libbpfMissing } from "./libbpf.ts";
import { MapReader } from "./map-reader.ts";
import type { KernelLimits } from "./map-sizes.ts";
import { isOnBpffs, limitsOfFolder, servicesFolderName } from "./pin-folder.ts";
import { openPinnedMaps, type PinnedMaps } from "./pinned-maps.ts";

// A reading during which an activation happened is repeated.
const readsMax = 100;

export interface PinnedState {
  readonly limits: KernelLimits;
  readonly frontends: readonly Frontend[];
  /** Undefined: unknown. */
  readonly cursor: Cursor | undefined;
  readonly maps: PinnedMaps;
}

/** In any order; [] if nothing is pinned there. @throws ProgramError if there is no such folder of a bpf file system, or it changes all the time. */
export function dumpPinned(bpffs: string): Frontend[] {
  const missing = libbpfMissing();
  if (missing !== undefined) {
    throw new ProgramError("unsupported", `cannot load libbpf.so.1: ${missing}`, {
      remedy: "install it: apt-get install libbpf1",
    });
  }
  if (!fs.existsSync(bpffs)) {
    throw new ProgramError("not-found", `--bpffs ${bpffs}: no such folder`, {
      remedy: "name the folder that the agent was given",
    });
  }
  if (!isOnBpffs(bpffs)) {
    throw new ProgramError("invalid-file", `--bpffs ${bpffs} is not on a bpf file system`, {
      remedy: "name the folder that the agent was given",
    });
  }
  return [...(readPinned(bpffs)?.frontends ?? [])];
}

/** The folder of this layout version that was activated last; undefined if there is none, or none was ever activated. */
export function readPinned(bpffs: string): PinnedState | undefined {
  let found: { readonly limits: KernelLimits; readonly maps: PinnedMaps; readonly changedMs: number } | undefined;
  for (const name of fs.readdirSync(bpffs)) {
    const limits = limitsOfFolder(name);
    if (limits === undefined) continue;
    const folder = path.join(bpffs, servicesFolderName(limits));
    const maps = openPinnedMaps(folder);
    if (maps === undefined || activeOf(maps) === 0n) continue;
    const changedMs = fs.statSync(folder).ctimeMs;
    // Two only while an agent moves to other sizes: the older one serves until the links are switched.
    if (found === undefined || changedMs < found.changedMs) found = { limits, maps, changedMs };
  }
  if (found === undefined) return undefined;
  const { limits, maps } = found;
  for (let read = 0; read < readsMax; read++) {
    const active = activeOf(maps);
    const rangeSets = readRangeSets(maps.elements("ranges").keys);
    const frontends = new MapReader(maps.arrays, rangeSets).frontends(maps.elements("frontends"), active);
    const cursor = liveCursor(maps.arrays.activations, active);
    if (activeOf(maps) === active) return { limits, frontends, cursor, maps };
  }
  throw new ProgramError("failed", `the maps below ${bpffs} changed during each of ${readsMax} readings`, {
    remedy: "try again",
  });
}

export function activeOf({ arrays }: PinnedMaps): bigint {
  return Atomics.load(new BigInt64Array(arrays.active, 0, 1), 0);
}
