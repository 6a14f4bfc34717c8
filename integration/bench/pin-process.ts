/** Puts a process that runs already onto one core, with all its threads and all that it starts from then on. */
import { spawnSync } from "node:child_process";
import os from "node:os";

/** @throws Error if that cannot be. */
export function pinProcess(pid: number, core: number): void {
  setCores(pid, String(core % os.cpus().length));
}

/** This process on that core while `work` runs; what `work` starts begins there too. */
export async function onCoreMeanwhile<T>(core: number, work: () => Promise<T>): Promise<T> {
  pinProcess(process.pid, core);
  try {
    return await work();
  } finally {
    setCores(process.pid, `0-${os.cpus().length - 1}`);
  }
}

function setCores(pid: number, cores: string): void {
  const args = ["--all-tasks", "--cpu-list", "--pid", cores, String(pid)];
  const { status, stderr, error } = spawnSync("taskset", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`taskset ${args.join(" ")}: ${error?.message ?? stderr}`);
}
