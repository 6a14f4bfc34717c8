/** Commands and programs as values. */
import type { Flags, Values } from "./flags.ts";

/** Sides of a choice, each with the keys of its flags: `[["manifests"], ["controlplane"]]`. */
export type Alternative = readonly (readonly string[])[];

/** One command line. */
export interface Command<F extends Flags> {
  /** As it is typed: "weft-agent run". */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** More about it, for help; lines of at most 100 columns. */
  readonly details?: string;
  readonly flags: F;
  /** Key of the single flag that may also be given as a bare word: `weft trace 42` is `weft trace --revision 42`. */
  readonly operand?: string;
  /** Whole command lines. */
  readonly examples: readonly string[];
  /** What excludes each other. Arguments of one side silence the variables of the others: the command line wins. */
  readonly alternatives?: readonly Alternative[];
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
