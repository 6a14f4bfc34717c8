/** Removes everything that a lab made, found by its name, whoever made it and whatever state it is in. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { findCgroupMount, killCgroup, removeCgroup } from "./cgroup.ts";
import { cgroupName, checkLabName, labPaths, namespaceName } from "./lab-paths.ts";
import { startTime } from "./lab-process.ts";
import { removeNamespacesScript } from "./network-script.ts";

/** What was found and removed; all zero: there was no such lab. */
export interface Removed {
  readonly processes: number;
  readonly namespaces: number;
  readonly mounts: number;
  readonly cgroups: number;
  readonly folders: number;
}

/** May be called any number of times, by several processes at once. */
export async function destroyLab(lab: string): Promise<Removed> {
  checkLabName(lab);
  const paths = labPaths(lab);
  const cgroupMount = findCgroupMount();
  const cgroup = cgroupMount === undefined ? undefined : path.join(cgroupMount, cgroupName(lab));

  const processes = killRegistered(paths.processes);
  if (cgroup !== undefined) await killCgroup(cgroup);

  // Pins first: where a mount was copied into another mount namespace, the file system outlives the mount.
  const mounts = mountsBelow(paths.root);
  for (const mount of mounts) {
    for (const entry of fs.readdirSync(mount, { withFileTypes: true })) {
      // Pins are in folders, one per node; the files beside them are the kernel's own and cannot be removed.
      if (entry.isDirectory()) fs.rmSync(path.join(mount, entry.name), { recursive: true, force: true });
    }
    spawnSync("umount", [mount], { stdio: "ignore" });
  }

  const namespaces = labNamespaces(lab);
  if (namespaces.length > 0)
    spawnSync("sh", { input: removeNamespacesScript(namespaces), stdio: ["pipe", "ignore", "ignore"] });

  const cgroups = cgroup !== undefined && fs.existsSync(cgroup) ? 1 : 0;
  if (cgroup !== undefined) removeCgroup(cgroup);

  const folders = fs.existsSync(paths.root) ? 1 : 0;
  fs.rmSync(paths.root, { recursive: true, force: true });
  return { processes, namespaces: namespaces.length, mounts: mounts.length, cgroups, folders };
}

/** Names of network namespaces of the lab that exist. */
export function labNamespaces(lab: string): string[] {
  const prefix = namespaceName(lab, "");
  return fs.existsSync("/run/netns") ? fs.readdirSync("/run/netns").filter((name) => name.startsWith(prefix)) : [];
}

function mountsBelow(folder: string): string[] {
  return fs
    .readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((mount) => mount.startsWith(`${folder}/`));
}

function killRegistered(registry: string): number {
  if (!fs.existsSync(registry)) return 0;
  let killed = 0;
  for (const name of fs.readdirSync(registry)) {
    const pid = Number(name);
    const noted = fs.readFileSync(path.join(registry, name), "utf8");
    if (!Number.isInteger(pid) || noted === "" || startTime(pid) !== noted) continue;
    process.kill(pid, "SIGKILL");
    killed++;
  }
  return killed;
}
