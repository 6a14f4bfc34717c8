/** Places of processes: a core, limits. */
import os from "node:os";

/** Runs `command` on that core only. Cores beyond those of this machine wrap around. */
export function onCore(core: number, command: readonly string[]): readonly string[] {
  return ["taskset", "--cpu-list", String(core % os.cpus().length), ...command];
}

/** Runs `command` with that many open files allowed; fails where the hard limit is lower and the caller is not root. */
export function withOpenFiles(filesMax: number, command: readonly string[]): readonly string[] {
  return ["prlimit", `--nofile=${filesMax}:${filesMax}`, "--", ...command];
}
