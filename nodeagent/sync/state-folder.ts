/** The agent's folder on disk: whose it is, and the random id that tells this agent from an impostor of the same node name. */
import { chmodSync, linkSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { errnoOf, fromErrno } from "@weft/proto/program/errno.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { makeFolder } from "@weft/proto/program/make-folder.ts";

const folderMode = 0o700;

/** Makes the folder (0700) if it is missing, and says its instance id. Never 0. @throws ProgramError: another node's folder. */
export function openStateFolder(folder: string, node: string, log: Log): bigint {
  try {
    makeFolder(folder, folderMode);
    // A file system that has become read-only still has the last state.
    if ((statSync(folder).mode & 0o777) !== folderMode) chmodSync(folder, folderMode);
    return claim(join(folder, identityFileName), folder, node, log);
  } catch (error) {
    throw fromErrno(error, `use the state folder ${folder}`);
  }
}

const identityFileName = "identity.json";

function claim(path: string, folder: string, node: string, log: Log): bigint {
  for (;;) {
    const found = read(path);
    if (found.kind === "identity") {
      if (found.node === node) return found.instance;
      throw new ProgramError("in-use", `the state folder ${folder} belongs to node ${found.node}, not ${node}`, {
        remedy: "give each node a folder of its own with --state, or remove this one",
      });
    }
    if (found.kind === "damaged") {
      log.warn("the identity of the state folder is damaged: taking a new one", { file: path });
      unlinkSync(path);
    }
    create(path, node);
  }
}

type Identity =
  | { readonly kind: "identity"; readonly node: string; readonly instance: bigint }
  | { readonly kind: "none" }
  | { readonly kind: "damaged" };

function read(path: string): Identity {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { kind: "none" };
    throw error;
  }
  const match = /^\{"instance":"([0-9a-f]{16})","node":("(?:[^"\\]|\\.)*")\}\n$/.exec(text);
  const instance = BigInt(`0x${match?.[1] ?? "0"}`);
  try {
    const node: unknown = JSON.parse(match?.[2] ?? "null");
    return typeof node === "string" && instance !== 0n ? { kind: "identity", node, instance } : { kind: "damaged" };
  } catch {
    return { kind: "damaged" };
  }
}

// A link is atomic and never replaces: of two agents that start at once both read the same identity.
function create(path: string, node: string): void {
  const instance = randomBytes(8);
  if (instance.every((byte) => byte === 0)) instance[7] = 1;
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify({ instance: instance.toString("hex"), node })}\n`, {
    mode: 0o600,
    flush: true,
  });
  try {
    linkSync(temporary, path);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  } finally {
    unlinkSync(temporary);
  }
}
