/** A folder of manifests, read once: for commands. */
import type { SourceRecord } from "../source.ts";
import { Folder } from "./folder.ts";
import type { FileReading } from "./folder.ts";
import { listFolder } from "./list-folder.ts";
import { readManifestFile } from "./read-file.ts";
import { fileRefusal } from "./refusal.ts";
import type { ManifestRefusal } from "./refusal.ts";

export interface ManifestsReading {
  readonly records: readonly SourceRecord[];
  /** Objects and endpoints that were left out. */
  readonly refusals: readonly ManifestRefusal[];
  /** Files that could not be read or parsed. */
  readonly problems: readonly ManifestRefusal[];
}

export class ManifestsError extends Error {
  readonly code = "folder-unreadable";
}

/** @throws ManifestsError if there is no such folder or it cannot be listed. */
export async function readManifests(dir: string): Promise<ManifestsReading> {
  const listing = await listFolder(dir);
  const folderProblem = listing.unreadable.get("");
  if (folderProblem !== undefined)
    throw new ManifestsError(`the folder of manifests ${dir} cannot be read: ${folderProblem}`);
  const readings = new Map<string, FileReading>();
  for (const path of listing.files.keys()) readings.set(path, (await readManifestFile(dir, path)).reading);
  for (const [path, reason] of listing.unreadable) {
    readings.set(path, { kind: "unreadable", refusal: fileRefusal(path, undefined, `cannot be read: ${reason}`) });
  }
  const folder = new Folder();
  folder.update(readings);
  const refusals = folder.refusals();
  return {
    records: folder.records(),
    refusals: refusals.filter((refusal) => refusal.kind === "object"),
    problems: refusals.filter((refusal) => refusal.kind === "file"),
  };
}
