/** Runs one writer against one reader on the real kernel and says what the reader saw. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { preparePinFolder, servicesFolderName } from "../pin-folder.ts";
import { stressLimits, type Breakage, type Writing } from "./stress-case.ts";
import type { Place } from "../testing/kernel-lab.ts";
import type { ConnectTally } from "./stress-connector.ts";
import type { Tally } from "./stress-reader.ts";

export interface StressOutcome {
  readonly revisions: number;
  readonly tally: Tally;
  /** Of real connect() calls; its `reads` are connects. */
  readonly connects: ConnectTally;
  /** Reads that the rule forbids. */
  readonly wrong: number;
}

/** @param place a fresh one */
export async function runStress(
  { bpffs, cgroup }: Place,
  writing: Writing,
  breakage: Breakage,
  ms: number,
): Promise<StressOutcome> {
  preparePinFolder(bpffs);
  const writerArguments = (forMs: number): string[] => [
    script("stress-writer.ts"),
    bpffs,
    cgroup,
    writing,
    breakage,
    `${forMs}`,
  ];
  // Makes the maps, with a first revision in them.
  await finish(start(writerArguments(0)));
  const folder = path.join(bpffs, servicesFolderName(stressLimits));
  const reader = start([script("stress-reader.ts"), objectOf(breakage), folder]);
  const tallied = finish(reader);
  const unshared = ["--net", process.execPath, script("stress-connector.ts"), cgroup, folder];
  const connector = spawn("unshare", unshared, { stdio: ["pipe", "pipe", "inherit"] });
  const connected = finish(connector);
  await Promise.all([started(reader, tallied), started(connector, connected)]);
  const revisions = Number(await finish(start(writerArguments(ms))));
  reader.stdin?.end();
  connector.stdin?.end();
  const tally = JSON.parse((await tallied).split("\n")[1] ?? "") as Tally;
  const connects = JSON.parse((await connected).split("\n")[1] ?? "") as ConnectTally;
  const wrong = [tally, connects].map(({ missed, stale, early }) => missed + stale + early);
  return { revisions, tally, connects, wrong: wrong.reduce((sum, count) => sum + count, tally.torn + tally.foreign) };
}

function objectOf(breakage: Breakage): string {
  const name = breakage === "no-second-look" || breakage === "older-must-be-active" ? `reader-${breakage}` : "reader";
  return fileURLToPath(new URL(`../../../../bpf/dist/${name}.bpf.o`, import.meta.url));
}

function script(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function start(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
}

// Its first line, or the reason of its end.
async function started(child: ChildProcess, finished: Promise<string>): Promise<void> {
  await Promise.race([once(child.stdout ?? child, "data"), finished]);
}

async function finish(child: ChildProcess): Promise<string> {
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  if (code !== 0) throw new Error(`a process of the stress test ended with ${code ?? signal}`);
  return output;
}
