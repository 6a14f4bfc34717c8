/** Links of the programs to the cgroup, pinned so that they outlive the agent. */
import fs from "node:fs";
import path from "node:path";
import { fromErrno } from "@weft/proto/program/errno.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import {
  closeFd,
  createLink,
  detachLink,
  detachPinned,
  errnos,
  getPinned,
  KernelError,
  linkCgroupId,
  pin,
  updateLink,
} from "./libbpf.ts";
import type { LoadedObject } from "./libbpf.ts";
import { linksFolder } from "./pin-folder.ts";

type Hook = readonly [name: string, attachType: number];

// enum bpf_attach_type. The order is that of DESIGN "Program upgrade": who reads flow entries first, who writes them last.
const hooks: readonly Hook[] = [
  ["recvmsg4", 19],
  ["recvmsg6", 20],
  ["getpeername4", 29],
  ["getpeername6", 30],
  ["sendmsg4", 14],
  ["sendmsg6", 15],
  ["sock_release", 34],
  ["post_bind4", 12],
  ["post_bind6", 13],
  ["connect4", 10],
  ["connect6", 11],
];

/** It runs for every packet that a socket of the cgroup sends: attached only while it has something to check. */
const egressHook = ["check_egress", 1] as const;

/** Replaces the programs of links that are pinned, in place; makes the others. @throws ProgramError with a remedy. */
export function attachPrograms(object: LoadedObject, bpffs: string, cgroup: string): void {
  try {
    const isEgressAttached = fs.existsSync(egressPin(bpffs));
    replaceOrCreate(object, bpffs, cgroup, isEgressAttached ? [...hooks, egressHook] : hooks);
  } catch (error) {
    throw explain(error, cgroup);
  }
}

/**
 * Attaches again what somebody detached, or whose pin was removed: sockets would be served by nobody then, and the maps would not show it.
 * @returns the programs. @throws ProgramError with a remedy.
 */
export function restoreLinks(object: LoadedObject, bpffs: string, cgroup: string): readonly string[] {
  try {
    const cgroupId = fs.statSync(cgroup, { bigint: true }).ino;
    const wanted = fs.existsSync(egressPin(bpffs)) ? [...hooks, egressHook] : hooks;
    const lost = wanted.filter(([name]) => attachedTo(path.join(bpffs, linksFolder, name)) !== cgroupId);
    if (lost.length > 0) replaceOrCreate(object, bpffs, cgroup, lost);
    return lost.map(([name]) => name);
  } catch (error) {
    throw explain(error, cgroup);
  }
}

// Id of a cgroup; 0n of one that is gone, or where the link was detached. Undefined: there is no pin.
function attachedTo(at: string): bigint | undefined {
  const link = getPinned(at);
  if (link === undefined) return undefined;
  try {
    return linkCgroupId(link);
  } finally {
    closeFd(link);
  }
}

/** Attaches or detaches the program that checks packets, if it is not so already. @throws ProgramError with a remedy. */
export function setEgress(object: LoadedObject, bpffs: string, cgroup: string, isNeeded: boolean): void {
  const at = egressPin(bpffs);
  if (fs.existsSync(at) === isNeeded) return;
  try {
    if (isNeeded) replaceOrCreate(object, bpffs, cgroup, [egressHook]);
    else {
      detachPinned(at);
      fs.unlinkSync(at);
    }
  } catch (error) {
    throw explain(error, cgroup);
  }
}

function egressPin(bpffs: string): string {
  return path.join(bpffs, linksFolder, egressHook[0]);
}

function explain(error: unknown, cgroup: string): unknown {
  if (!(error instanceof KernelError)) return fromErrno(error, `attach programs to ${cgroup}`);
  return new ProgramError("failed", `${error.message} (${cgroup})`, {
    remedy:
      "run as root, or with the capabilities BPF and NET_ADMIN; remove other programs of this cgroup (bpftool cgroup show)",
    cause: error,
  });
}

function replaceOrCreate(object: LoadedObject, bpffs: string, cgroup: string, wanted: readonly Hook[]): void {
  const folder = path.join(bpffs, linksFolder);
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const cgroupId = fs.statSync(cgroup, { bigint: true }).ino;
  const cgroupFd = fs.openSync(cgroup, "r");
  try {
    for (const [name, attachType] of wanted) {
      const at = path.join(folder, name);
      const program = object.programFd(name);
      if (replaceProgram(at, program, cgroupId)) continue;
      const link = createLink(program, cgroupFd, attachType);
      try {
        pin(link, at);
      } finally {
        // One that is not pinned is detached by this.
        closeFd(link);
      }
    }
  } finally {
    fs.closeSync(cgroupFd);
  }
}

// False if there is no link to this cgroup; one to another cgroup, or to one that is gone, is removed.
function replaceProgram(at: string, program: number, cgroupId: bigint): boolean {
  const link = getPinned(at);
  if (link === undefined) return false;
  try {
    if (linkCgroupId(link) === cgroupId) {
      updateLink(link, program);
      return true;
    }
    detachLink(link);
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== errnos.ENOLINK) throw error;
  } finally {
    closeFd(link);
  }
  fs.unlinkSync(at);
  return false;
}

export function hasLinks(bpffs: string): boolean {
  return hooks.some(([name]) => fs.existsSync(path.join(bpffs, linksFolder, name)));
}
