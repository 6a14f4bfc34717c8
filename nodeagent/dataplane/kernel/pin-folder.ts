/** Where pins lie under --bpffs, and the folder's own conditions: on a bpf file system, one agent at a time. */
import fs from "node:fs";
import path from "node:path";
import { fromErrno } from "@weft/proto/program/errno.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { closeFd, tryLock } from "./libbpf.ts";
import { flowLayoutVersion, serviceLayoutVersion } from "./layout.ts";
import type { KernelLimits } from "./map-sizes.ts";

const bpffsMagic = 0xcafe4a11;
const servicesFolder = /^v(\d+)-(\d+)-(\d+)-(\d+)$/;
const flowsFolder = /^flows-v\d+$/;

export const linksFolder = "links";
/** Prefix of a folder whose removal has begun. */
export const removedPrefix = "removed-";

/** Other sizes are another folder: libbpf refuses pins of another size. */
export function servicesFolderName({ frontends, backends, services }: KernelLimits): string {
  return `v${serviceLayoutVersion}-${frontends}-${backends}-${services}`;
}

export const flowsFolderName = `flows-v${flowLayoutVersion}`;

/** The limits in the name of a folder of this layout version; undefined otherwise. */
export function limitsOfFolder(name: string): KernelLimits | undefined {
  const match = servicesFolder.exec(name);
  if (match === null || Number(match[1]) !== serviceLayoutVersion) return undefined;
  return { frontends: Number(match[2]), backends: Number(match[3]), services: Number(match[4]) };
}

/** Of any layout version. */
export function isServicesFolder(name: string): boolean {
  return servicesFolder.test(name);
}

/** Folders that agents make, of any version, also half removed ones. */
export function isOurs(name: string): boolean {
  const plain = name.startsWith(removedPrefix) ? name.slice(removedPrefix.length) : name;
  return plain === linksFolder || servicesFolder.test(plain) || flowsFolder.test(plain);
}

/** Makes the folder if needed. @throws ProgramError unless it lies on a bpf file system. */
export function preparePinFolder(bpffs: string): void {
  let existing = path.resolve(bpffs);
  while (!fs.existsSync(existing)) existing = path.dirname(existing);
  if (!isOnBpffs(existing)) {
    throw new ProgramError("invalid-file", `--bpffs ${bpffs}: ${existing} is not on a bpf file system`, {
      remedy: `mount one: mount -t bpf bpf /sys/fs/bpf, and name a folder below it`,
    });
  }
  try {
    fs.mkdirSync(bpffs, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fromErrno(error, `make --bpffs ${bpffs}`);
  }
}

export function isOnBpffs(folder: string): boolean {
  return fs.statfsSync(folder).type === bpffsMagic;
}

/** Holds the folder until disposed or the process ends. @throws ProgramError naming the process that holds it. */
export function lockPinFolder(bpffs: string): Disposable {
  const fd = openFolder(bpffs);
  if (!tryLock(fd)) {
    const pid = lockHolder(fs.fstatSync(fd, { bigint: true }));
    closeFd(fd);
    throw new ProgramError(
      "in-use",
      `--bpffs ${bpffs} is in use by an agent${pid === undefined ? "" : ` (pid ${pid})`}`,
      {
        remedy: "stop it first, or name another folder",
      },
    );
  }
  return { [Symbol.dispose]: () => fs.closeSync(fd) };
}

function openFolder(bpffs: string): number {
  try {
    return fs.openSync(bpffs, "r");
  } catch (error) {
    throw fromErrno(error, `open --bpffs ${bpffs}`);
  }
}

// /proc/locks: "1: FLOCK  ADVISORY  WRITE 4242 00:1f:2 0 EOF", device in hex and inode.
function lockHolder({ dev, ino }: fs.BigIntStats): number | undefined {
  const major = (dev >> 8n) & 0xfffn;
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xfff00n);
  const hex = (value: bigint): string => value.toString(16).padStart(2, "0");
  const place = `${hex(major)}:${hex(minor)}:${ino}`;
  for (const line of fs.readFileSync("/proc/locks", "utf8").split("\n")) {
    const [, kind, , , pid, at] = line.trim().split(/\s+/);
    if (kind === "FLOCK" && at === place && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}
