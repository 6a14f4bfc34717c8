/** The top level of every program: signals in, exit code out. */
import { ProgramError, messageOf, printProgramError } from "./errors.ts";
import { errnoOf, fromErrno } from "./errno.ts";
import { exitCodes } from "./exit.ts";
import type { ExitCode } from "./exit.ts";
import type { NotRun } from "./parse.ts";
import { version } from "./version.ts";

/** Why the signal of `runMain` aborted. */
export type StopSignal = "SIGINT" | "SIGTERM";

let end: (code: ExitCode, asked: StopSignal | undefined) => void = endOrDie;

/**
 * Ends the process by `exit` once `main` has resolved, and all that it wrote has left. For programs that have foreign code loaded: Node takes
 * that apart before it exits, and hung there now and then (seen twice in some thousands of runs, with koffi and mapped memory).
 */
export function endProcessBy(exit: (code: ExitCode) => void): void {
  end = exit;
}

/**
 * Runs `main` and exits with its code once it has resolved. The first SIGINT or SIGTERM aborts the signal, the second one exits at once.
 * A ProgramError or an error of the operating system is one line on stderr; a surprise is printed with its stack, exit 1.
 * A reader of stdout that went away ends the program quietly.
 */
export function runMain(program: string, main: (signal: AbortSignal) => Promise<ExitCode>): void {
  const stop = new AbortController();
  for (const [name, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) endOrDie(code, name);
      stop.abort(name);
    });
  }
  process.stdout.on("error", (error) => {
    process.exit(errnoOf(error) === "EPIPE" ? exitCodes.ok : report(program, error));
  });
  process.on("uncaughtException", (error) => process.exit(report(program, error)));
  process.on("unhandledRejection", (error) => process.exit(report(program, error)));
  const asked = (): StopSignal | undefined => stop.signal.reason as StopSignal | undefined;
  main(stop.signal).then(
    (code) => end(code, asked()),
    (error: unknown) => endOrDie(report(program, error), asked()),
  );
}

// At its exit Node waits for name lookups under way: half a minute and more where no name server answers, and nothing can cancel them. A
// program that is asked to end then ends by that signal instead of its code.
function endOrDie(code: number, asked: StopSignal | undefined): void {
  if (asked !== undefined && process.getActiveResourcesInfo().includes("GetAddrInfoReqWrap")) {
    process.removeAllListeners(asked);
    process.kill(process.pid, asked);
  }
  process.exit(code);
}

/** Answers a command line that does not ask to run: help and version on stdout, errors on stderr. */
export function answerNotRun(program: string, parsed: NotRun): ExitCode {
  switch (parsed.kind) {
    case "help":
      process.stdout.write(parsed.text);
      return exitCodes.ok;
    case "version":
      process.stdout.write(`${program} ${version}\n`);
      return exitCodes.ok;
    case "usage-error":
      process.stderr.write(`${parsed.message}\n`);
      return exitCodes.usage;
  }
}

function report(program: string, thrown: unknown): ExitCode {
  const known = thrown instanceof ProgramError ? thrown : fromErrno(thrown, systemCallOf(thrown));
  if (known instanceof ProgramError) {
    process.stderr.write(`${program}: ${printProgramError(known)}\n`);
    return known.exitCode;
  }
  const stack = thrown instanceof Error ? thrown.stack : undefined;
  process.stderr.write(`${program}: a fault in the program, please report it: ${stack ?? messageOf(thrown)}\n`);
  return exitCodes.failed;
}

// "open /etc/x" from a Node system error.
function systemCallOf(thrown: unknown): string {
  const parts = thrown as {
    readonly syscall?: string;
    readonly path?: string;
    readonly address?: string;
    readonly port?: number;
  };
  const where = parts.path ?? (parts.address === undefined ? "" : `${parts.address}:${parts.port ?? ""}`);
  return `${parts.syscall ?? "do that"} ${where}`.trim();
}
