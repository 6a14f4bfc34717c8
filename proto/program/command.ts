/** Commands and programs as values. */
import type { Flags, Values } from "./flags.ts";

/** One command line. */
export interface Command<F extends Flags> {
  /** As it is typed: "weft-agent run". */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** More about it, for help; lines of at most 100 columns. */
  readonly details?: string;
  readonly flags: F;
  /** Whole command lines. */
  readonly examples: readonly string[];
  /**
   * What is wrong with flags that are right one by one, and what to do; undefined: nothing.
   * A method, so that commands of all flags have `Command<Flags>` in common.
   */
  check?(values: Values<F>): string | undefined;
}

/** A program with subcommands. A key is what is typed behind the program's name: "plan", "get services". */
export interface Program<C extends Commands> {
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  readonly commands: C;
}

export type Commands = Readonly<Record<string, Command<Flags>>>;

/** Lets the compiler work out the types of the values. */
export function defineCommand<const F extends Flags>(command: Command<F>): Command<F> {
  return command;
}

export function defineProgram<const C extends Commands>(program: Program<C>): Program<C> {
  return program;
}
