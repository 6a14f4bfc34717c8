/** The folder of manifests at start. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { fromErrno } from "@weft/proto/program/errno.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";

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
