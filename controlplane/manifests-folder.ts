/** The folder of manifests at start, and what is said about its faults. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { fromErrno } from "@weft/proto/program/errno.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import { printRefusal } from "./source/manifests/refusal.ts";
import type { RefusalChange } from "./source/manifests/refusal.ts";

/** Refusals of one scan that are printed; the metric counts all. */
const refusalsPrintedMax = 100;

/** A folder that is missing later is waited for; at start it is a mistake. @throws ProgramError */
export async function checkManifestsFolder(folder: string): Promise<void> {
  try {
    const found = await stat(folder);
    if (found.isDirectory()) {
      await access(folder, constants.R_OK | constants.X_OK);
      return;
    }
  } catch (error) {
    throw fromErrno(error, `read the folder --manifests ${folder}`);
  }
  throw new ProgramError("invalid-file", `--manifests ${folder} is not a folder`, {
    remedy: "name the folder that holds the manifests",
  });
}

/** Prints and counts refusals: each once when it appears and once when it is gone. */
export function refusalReporter(log: Log, metrics: Metrics): (change: RefusalChange) => void {
  let standing = 0;
  const total = metrics.counter({
    name: "weft_controlplane_refusals_total",
    help: "Manifests, objects and endpoints that were refused.",
  });
  metrics.observed(
    "gauge",
    { name: "weft_controlplane_refusals", help: "Manifests, objects and endpoints that are refused now." },
    () => standing,
  );
  return ({ added, cleared }) => {
    standing += added.length - cleared.length;
    total.inc(added.length);
    for (const refusal of added.slice(0, refusalsPrintedMax)) log.warn(`refused: ${printRefusal(refusal)}`);
    if (added.length > refusalsPrintedMax) log.warn(`refused: ${added.length - refusalsPrintedMax} more`);
    for (const refusal of cleared.slice(0, refusalsPrintedMax)) log.info(`no longer refused: ${printRefusal(refusal)}`);
  };
}
