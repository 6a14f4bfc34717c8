/** What the parts of one lab share: its name, its folders, and where its processes run. */
import fs from "node:fs";
import path from "node:path";
import type { LabCertificates } from "./lab-certificates.ts";
import type { LabPaths } from "./lab-paths.ts";
import { namespaceName, namespacePath } from "./lab-paths.ts";
import type { ProcessPlace } from "./lab-process.ts";

export type LabDataplane = "kernel" | "memory";

export interface Ground {
  readonly lab: string;
  readonly dataplane: LabDataplane;
  readonly paths: LabPaths;
  /** The lab's cgroup; undefined on the memory dataplane. */
  readonly cgroup: string | undefined;
  /** Undefined: without TLS. */
  readonly certificates: LabCertificates | undefined;
}

/**
 * Where a process runs. `part`: the namespace, such as "node-1" or "control"; also its cgroup, below that of `owner` if there is
 * one ("node-1"): a pod belongs to its node's subtree.
 */
export function placeOf(ground: Ground, part: string, owner?: string): ProcessPlace {
  const place = { registry: ground.paths.processes, logFile: path.join(ground.paths.logs, `${part}.log`) };
  if (ground.cgroup === undefined) return place;
  const cgroup = path.join(ground.cgroup, owner ?? "", part);
  fs.mkdirSync(cgroup, { recursive: true });
  return { ...place, cgroup, namespace: namespacePath(namespaceName(ground.lab, part)) };
}
