/** Sees with its own socket that the programs run: a connect() from inside the cgroup must come out rewritten. */
import fs from "node:fs";
import path from "node:path";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { connectUdp, errnos, KernelError } from "./libbpf.ts";

/** As in bpf/lookup.h: 192.0.2.77:1/UDP. */
const probeAddress = Uint8Array.of(192, 0, 2, 77);
const probeFrontendPort = 1;
const loopback = "127.0.0.1";

/**
 * Moves this process into a child of the cgroup for one connect() (about 10 ms, synchronous) and back.
 * @param expectedPort what the agent wrote into `settings`
 * @throws ProgramError if the connect was not rewritten, or the process cannot be moved
 */
export function probePrograms(cgroup: string, expectedPort: number): void {
  const home = ownCgroup(cgroup);
  const child = path.join(cgroup, `weft-probe-${process.pid}`);
  const doing = (what: string, error: unknown): ProgramError =>
    new ProgramError(
      "failed",
      `probe of the programs: cannot ${what}: ${error instanceof Error ? error.message : String(error)}`,
      {
        remedy: `check that ${cgroup} can be written and holds no domain controllers of its own`,
        cause: error,
      },
    );
  let seen: string;
  try {
    fs.mkdirSync(child);
    fs.writeFileSync(path.join(child, "cgroup.procs"), `${process.pid}`);
    seen = connectProbe();
  } catch (error) {
    throw doing("move into a child of the cgroup and connect", error);
  } finally {
    if (fs.existsSync(child)) {
      fs.writeFileSync(path.join(home, "cgroup.procs"), `${process.pid}`);
      fs.rmdirSync(child);
    }
  }
  if (seen === `${loopback}:${expectedPort}`) return;
  throw new ProgramError("failed", `the programs do not see connections made in ${cgroup}: the probe went to ${seen}`, {
    remedy: "another program on this cgroup may overrule them; in a container mount the host's /sys/fs/cgroup",
  });
}

// Where it came out. Not rewritten, it may have no route.
function connectProbe(): string {
  try {
    const { peer } = connectUdp(probeAddress, probeFrontendPort);
    return `${peer.address.join(".")}:${peer.port}`;
  } catch (error) {
    if (error instanceof KernelError && error.errno === errnos.ENETUNREACH) return "nowhere (no route)";
    throw error;
  }
}

// /proc/self/cgroup has "0::/path", relative to the root of the hierarchy as this process sees it.
function ownCgroup(cgroup: string): string {
  const line = fs
    .readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .find((text) => text.startsWith("0::"));
  const own = line?.slice(3) ?? "/";
  for (let root = path.resolve(cgroup); ; root = path.dirname(root)) {
    const parent = path.dirname(root);
    const isMountPoint = parent === root || fs.statSync(parent).dev !== fs.statSync(root).dev;
    if (isMountPoint) return path.join(root, own);
  }
}
