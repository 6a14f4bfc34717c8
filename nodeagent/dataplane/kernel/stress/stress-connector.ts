/**
 * Program: connects to the frontends of the stress test until its stdin ends, then prints its tally as JSON. Runs in a network
 * namespace of its own, where every 10.x.x.x is local: the source address of a connected socket is the backend that was chosen.
 * Arguments: cgroup, folder of the service pins.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { connectUdp, errnos, KernelError } from "../libbpf.ts";
import { openPinnedMaps } from "../pinned-maps.ts";
import { stressFrontends, stressKey } from "./stress-case.ts";

const connectsPerTurn = 200;

export interface ConnectTally {
  reads: number;
  missed: number;
  stale: number;
  early: number;
}

async function run(cgroup: string, folder: string): Promise<void> {
  fs.writeFileSync(path.join(cgroup, "cgroup.procs"), `${process.pid}`);
  execFileSync("ip", ["link", "set", "lo", "up"]);
  execFileSync("ip", ["route", "add", "local", "10.0.0.0/8", "dev", "lo"]);
  const maps = openPinnedMaps(folder);
  if (maps === undefined) throw new Error(`no pins in ${folder}`);
  const active = new BigInt64Array(maps.arrays.active, 0, 1);
  const tally: ConnectTally = { reads: 0, missed: 0, stale: 0, early: 0 };
  const ending = new AbortController();
  process.stdin.on("end", () => ending.abort());
  process.stdin.resume();
  process.stdout.write("connecting\n");
  for (let at = 0; !ending.signal.aborted; at++) {
    const frontend = stressFrontends[at % stressFrontends.length];
    if (frontend === undefined) break;
    const before = Number(Atomics.load(active, 0));
    const revision = revisionOf(stressKey(frontend).subarray(12, 16));
    const after = Number(Atomics.load(active, 0));
    tally.reads++;
    if (revision === undefined) {
      if (frontend.isSteady) tally.missed++;
    } else {
      if (revision < before) tally.stale++;
      if (revision > after) tally.early++;
    }
    if (at % connectsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  process.stdout.write(`${JSON.stringify(tally)}\n`);
}

// The peer is shown as the frontend: only the local end tells the backend's address.
function revisionOf(address: Uint8Array): number | undefined {
  try {
    const { local } = connectUdp(address, 80);
    const [first, high = 0, middle = 0, low = 0] = local.address;
    return first === 10 ? (high << 16) | (middle << 8) | low : undefined;
  } catch (error) {
    // Not there in this revision, and no route.
    if (error instanceof KernelError && error.errno === errnos.ENETUNREACH) return undefined;
    throw error;
  }
}

const [cgroup, folder] = process.argv.slice(2);
if (cgroup !== undefined && folder !== undefined) await run(cgroup, folder);
