/**
 * Where a lab lives on this machine. Everything that a lab makes carries its name, so that leftovers of a dead one are found from
 * what is there, without a record of it.
 */
import os from "node:os";
import path from "node:path";

export interface LabPaths {
  /** The lab's own folder; everything below it belongs to the lab. */
  readonly root: string;
  readonly manifests: string;
  /** Mount point of the lab's private bpffs. */
  readonly bpffs: string;
  /** State folders of agents. */
  readonly state: string;
  /** What the programs said on stderr. */
  readonly logs: string;
  /** One file per process, named by its pid, holding its start time: for machines without cgroup v2. */
  readonly processes: string;
}

// No hyphen: the namespaces of lab "a" must not look like those of a lab "a-b". Short: it is part of interface and folder names.
const namePattern = /^[a-z][a-z0-9]{0,11}$/;

/** @throws RangeError unless `lab` is 1 to 12 lower-case letters and digits, a letter first. */
export function checkLabName(lab: string): void {
  if (!namePattern.test(lab))
    throw new RangeError(`not a lab name: "${lab}"; use 1 to 12 of a-z and 0-9, a letter first`);
}

export function labPaths(lab: string): LabPaths {
  checkLabName(lab);
  const root = path.join(os.tmpdir(), `weft-lab-${lab}`);
  return {
    root,
    manifests: path.join(root, "manifests"),
    bpffs: path.join(root, "bpf"),
    state: path.join(root, "state"),
    logs: path.join(root, "logs"),
    processes: path.join(root, "processes"),
  };
}

/** Name of a network namespace of the lab, as `ip netns` shows it. */
export function namespaceName(lab: string, part: string): string {
  return `weft-${lab}-${part}`;
}

export function namespacePath(namespace: string): string {
  return `/run/netns/${namespace}`;
}

/** Name of the lab's cgroup below the root of cgroup v2. */
export function cgroupName(lab: string): string {
  return `weft-${lab}`;
}
