/** A scratch place on the real kernel for tests: a bpf file system, a cgroup below the real root, both gone at disposal. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { findCgroup } from "../cgroup.ts";

/** Of one agent; its links must not meet those of another. */
export interface Place {
  readonly bpffs: string;
  readonly cgroup: string;
}

export interface KernelLab extends Disposable {
  readonly root: Place;
  /** A fresh one, inside the root. */
  place(): Place;
}

/** A reason why kernel tests cannot run here; false if they can. */
export function kernelTestsSkipped(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  try {
    findCgroup(undefined);
  } catch (error) {
    return String(error);
  }
  return false;
}

export function makeKernelLab(): KernelLab {
  const mount = fs.mkdtempSync(path.join(os.tmpdir(), "weft-kernel-"));
  execFileSync("mount", ["-t", "bpf", "bpf", mount]);
  const cgroup = path.join(findCgroup(undefined), path.basename(mount));
  fs.mkdirSync(cgroup);
  let made = 0;
  const cgroups: string[] = [];
  return {
    root: { bpffs: mount, cgroup },
    place() {
      const name = `agent-${made++}`;
      const child = path.join(cgroup, name);
      fs.mkdirSync(child);
      cgroups.push(child);
      return { bpffs: path.join(mount, name), cgroup: child };
    },
    [Symbol.dispose]() {
      execFileSync("umount", ["-l", mount]);
      fs.rmdirSync(mount);
      for (const child of cgroups) fs.rmdirSync(child);
      fs.rmdirSync(cgroup);
    },
  };
}
