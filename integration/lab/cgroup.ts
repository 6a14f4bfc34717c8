/** Cgroup v2 folders: making, listing, killing and removing whole subtrees. */
import fs from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** How long killed processes may take to leave. */
const emptyWaitMs = 5_000;
const emptyPollMs = 5;

/** Mount point of cgroup v2; it is not /sys/fs/cgroup where v1 is mounted too. Undefined: none. */
export function findCgroupMount(): string | undefined {
  for (const line of fs.readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, mountPoint, type] = line.split(" ");
    if (type === "cgroup2") return mountPoint;
  }
  return undefined;
}

/** Kills every process below `folder`, and waits until all have left. Nothing happens if it does not exist. */
export async function killCgroup(folder: string): Promise<void> {
  if (!fs.existsSync(folder)) return;
  fs.writeFileSync(path.join(folder, "cgroup.kill"), "1");
  const limit = performance.now() + emptyWaitMs;
  while (/^populated 1$/m.test(fs.readFileSync(path.join(folder, "cgroup.events"), "utf8"))) {
    if (performance.now() > limit)
      throw new Error(`${folder}: processes are still there ${emptyWaitMs} ms after cgroup.kill`);
    await delay(emptyPollMs);
  }
}

/** Removes an empty subtree. What is gone already, also while this runs, is fine. */
export function removeCgroup(folder: string): void {
  try {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) removeCgroup(path.join(folder, entry.name));
    }
    fs.rmdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
