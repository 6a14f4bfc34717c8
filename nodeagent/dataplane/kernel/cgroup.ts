/** The cgroup that programs are attached to: the real root of cgroup v2, or the one that --cgroup names. */
import fs from "node:fs";
import { ProgramError } from "@weft/proto/program/errors.ts";

const cgroup2Magic = 0x63677270;
const rootInode = 1;

/** Path of the cgroup. @throws ProgramError if there is none that would catch every pod. */
export function findCgroup(named: string | undefined): string {
  if (named !== undefined) {
    if (!fs.existsSync(named)) {
      throw new ProgramError("not-found", `--cgroup ${named}: no such folder`, { remedy: "make it or name another" });
    }
    if (!isCgroup2(named)) {
      throw new ProgramError("invalid-file", `--cgroup ${named} is not a cgroup v2 folder`, {
        remedy: "name a folder below the mount of type cgroup2 (see /proc/self/mountinfo)",
      });
    }
    return named;
  }
  const mounts = cgroup2Mounts(fs.readFileSync("/proc/self/mountinfo", "utf8"));
  if (mounts.length === 0) {
    throw new ProgramError("unsupported", "cgroup v2 is not mounted", {
      remedy: "mount it: mount -t cgroup2 none /sys/fs/cgroup, in a container mount the host's /sys/fs/cgroup",
    });
  }
  // In a private cgroup namespace the mount shows another directory: links there would catch nothing.
  const root = mounts.find((mount) => fs.existsSync(mount) && isCgroup2(mount) && fs.statSync(mount).ino === rootInode);
  if (root === undefined) {
    throw new ProgramError(
      "unsupported",
      `${mounts.join(", ")} is not the root of cgroup v2 (a private cgroup namespace)`,
      {
        remedy: "mount the host's /sys/fs/cgroup, or name a cgroup with --cgroup",
      },
    );
  }
  return root;
}

/** Mount points of type cgroup2. */
export function cgroup2Mounts(mountinfo: string): string[] {
  const mounts: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const mount = before?.split(" ")[4];
    if (mount !== undefined && after?.startsWith("cgroup2 ")) mounts.push(unescapeMount(mount));
  }
  return mounts;
}

function isCgroup2(folder: string): boolean {
  return fs.statfsSync(folder).type === cgroup2Magic;
}

// Blanks and backslashes are octal in mountinfo.
function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
