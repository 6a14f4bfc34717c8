/** Runs one of the programs to its end, as a person would. */
import { LabProcess } from "./lab-process.ts";
import type { ProcessPlace } from "./lab-process.ts";

export interface CommandResult {
  /** As typed, for people: `weft wait --revision 3`. */
  readonly line: string;
  readonly code: number | null;
  readonly stdout: string;
  /** The end of what it said on stderr (all commands of a place share one log). */
  readonly stderrTail: string;
  readonly elapsedMs: number;
}

/** `shown`: what a person would have typed. Killed after `limitMs`; its code is then null. */
export async function runCommand(
  shown: string,
  command: readonly string[],
  place: ProcessPlace,
  limitMs = 60_000,
): Promise<CommandResult> {
  const began = performance.now();
  const started = LabProcess.start(shown, command, place);
  const lines: string[] = [];
  started.onLine((line) => lines.push(line));
  const timer = setTimeout(() => void started.kill(), limitMs);
  const end = await started.ended;
  clearTimeout(timer);
  return {
    line: shown,
    code: end.code,
    stdout: lines.map((line) => `${line}\n`).join(""),
    stderrTail: started.logTail(),
    elapsedMs: performance.now() - began,
  };
}

/** @throws Error naming the command and what it said, unless it ended with 0. */
export function expectSuccess(result: CommandResult): string {
  if (result.code !== 0)
    throw new Error(`${result.line}: exit code ${result.code}\n${result.stdout}${result.stderrTail}`);
  return result.stdout;
}
