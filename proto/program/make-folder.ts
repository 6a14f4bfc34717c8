/** Makes a folder and those above it: shell. */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { errnoOf } from "./errno.ts";

/**
 * Like `mkdirSync` with `recursive`, which never returns where a file system answers ENOENT although the parent is there
 * (/proc; Node 24).
 *
 * @throws A Node system error.
 */
export function makeFolder(folder: string, mode: number): void {
  const missing = [resolve(folder)];
  for (let path = dirname(resolve(folder)); !existsSync(path); path = dirname(path)) missing.push(path);
  for (const path of missing.toReversed()) {
    try {
      mkdirSync(path, { mode });
    } catch (error) {
      if (errnoOf(error) !== "EEXIST" || !statSync(path).isDirectory()) throw error;
    }
  }
}
