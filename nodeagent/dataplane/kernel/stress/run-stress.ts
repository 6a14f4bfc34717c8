/** Runs one writer against one reader on the real kernel and says what the reader saw. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { preparePinFolder, servicesFolderName } from "../pin-folder.ts";
import { stressLimits, type Breakage, type Writing } from "./stress-case.ts";
import type { Tally } from "./stress-reader.ts";

export interface StressOutcome {
  readonly revisions: number;
  readonly tally: Tally;
  /** Reads that the rule forbids. */
  readonly wrong: number;
}

/** @param bpffs a fresh folder on a bpf file system */
export async function runStress(
  bpffs: string,
  writing: Writing,
  breakage: Breakage,
  ms: number,
): Promise<StressOutcome> {
  preparePinFolder(bpffs);
  const writerArguments = (forMs: number): string[] => [
    script("stress-writer.ts"),
    bpffs,
    writing,
    breakage,
    `${forMs}`,
  ];
  // Makes the maps, with a first revision in them.
  await finish(start(writerArguments(0)));
  const folder = path.join(bpffs, servicesFolderName(stressLimits));
  const reader = start([script("stress-reader.ts"), objectOf(breakage), folder]);
  const tallied = finish(reader);
  await Promise.race([once(reader, "spawn").then(() => once(reader.stdout ?? reader, "data")), tallied]);
  const revisions = Number(await finish(start(writerArguments(ms))));
  reader.stdin?.end();
  const tally = JSON.parse((await tallied).split("\n")[1] ?? "") as Tally;
  return { revisions, tally, wrong: tally.missed + tally.stale + tally.early + tally.foreign + tally.torn };
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

async function finish(child: ChildProcess): Promise<string> {
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  if (code !== 0) throw new Error(`a process of the stress test ended with ${code ?? signal}`);
  return output;
}
