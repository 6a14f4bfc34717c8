/**
 * Expected failures of a program: one line that says what, where and what to do, without a stack trace. Everything else that
 * is thrown is a surprise and is printed with its stack.
 */
import { exitCodes } from "./exit.ts";
import type { ExitCode } from "./exit.ts";

export type ProgramErrorCode =
  | "usage"
  | "invalid-file"
  | "not-found"
  | "permission"
  | "address-in-use"
  | "address-not-available"
  | "unreachable"
  | "timed-out"
  | "resources"
  | "unsupported"
  | "in-use"
  | "failed";

export interface ProgramErrorOptions {
  /** What to do, without a full stop; "": nothing can be done. */
  readonly remedy: string;
  readonly cause?: unknown;
  /** Default: 2 for `usage`, 3 for `timed-out`, else 1. */
  readonly exitCode?: ExitCode;
}

export class ProgramError extends Error {
  readonly code: ProgramErrorCode;
  readonly remedy: string;
  readonly exitCode: ExitCode;

  /** @param message What failed and where, one line. */
  constructor(code: ProgramErrorCode, message: string, options: ProgramErrorOptions) {
    super(message, { cause: options.cause });
    this.name = "ProgramError";
    this.code = code;
    this.remedy = options.remedy;
    this.exitCode = options.exitCode ?? exitCodeOf(code);
  }
}

/** "what: where; remedy", in one line. */
export function printProgramError(error: ProgramError): string {
  return oneLine(error.remedy === "" ? error.message : `${error.message}; ${error.remedy}`);
}

/** The message of anything that was thrown, in one line. */
export function messageOf(thrown: unknown): string {
  return oneLine(thrown instanceof Error ? thrown.message : String(thrown));
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ").trim();
}

function exitCodeOf(code: ProgramErrorCode): ExitCode {
  if (code === "usage") return exitCodes.usage;
  return code === "timed-out" ? exitCodes.timedOut : exitCodes.failed;
}
