/** Reads a command line: the environment first, then the arguments over it. */
import type { Alternative, Command, Commands, Program } from "./command.ts";
import { flagName, variableName } from "./flags.ts";
import type { Flag, Flags, Values } from "./flags.ts";
import { commandHelp, programHelp } from "./help.ts";
import { suggest } from "./suggest.ts";

/** What a command line asks for when it does not ask to run. */
export type NotRun =
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "version" }
  | { readonly kind: "usage-error"; readonly message: string };

export type ParsedCommand<F extends Flags> = { readonly kind: "run"; readonly values: Values<F> } | NotRun;

export type ParsedProgram<C extends Commands> =
  | {
      readonly [K in keyof C]: {
        readonly kind: "run";
        readonly command: K;
        readonly values: C[K] extends Command<infer F> ? Values<F> : never;
      };
    }[keyof C]
  | NotRun;

export type Environment = Readonly<Record<string, string | undefined>>;

/** @param argv What follows the command's name. */
export function parseCommand<F extends Flags>(
  command: Command<F>,
  argv: readonly string[],
  environment: Environment,
): ParsedCommand<F> {
  const failed = (problem: string): NotRun => usageError(command.name, problem);
  const given = readArguments(command, argv);
  if (given.kind === "help") return { kind: "help", text: commandHelp(command) };
  if (given.kind === "version") return given;
  if (given.kind === "problem") return failed(given.problem);

  const silenced = silencedBy(given.texts, command.alternatives ?? []);
  const values: Record<string, unknown> = {};
  for (const [key, flag] of Object.entries(command.flags)) {
    const variable = silenced.has(key) ? undefined : environment[variableName(key)];
    const value = readValue(key, flag, given.texts.get(key), variable);
    if (!value.ok) return failed(value.problem);
    values[key] = value.value;
  }
  // Every declared key was filled by its own flag's `parse` or `fallback`.
  const typed = values as Values<F>;
  const wrong = command.check?.(typed);
  return wrong === undefined ? { kind: "run", values: typed } : failed(wrong);
}

/** @param argv What follows the program's name. */
export function parseProgram<C extends Commands>(
  program: Program<C>,
  argv: readonly string[],
  environment: Environment,
): ParsedProgram<C> {
  const [first] = argv;
  if (first === undefined || first === "--help" || first === "-h") return { kind: "help", text: programHelp(program) };
  if (first === "--version") return { kind: "version" };
  if (first === "help") {
    const asked = argv.slice(1).filter((word) => !word.startsWith("-"));
    return asked.length === 0
      ? { kind: "help", text: programHelp(program) }
      : parseProgram(program, [...asked, "--help"], environment);
  }
  const names = Object.keys(program.commands);
  if (first.startsWith("-")) {
    return usageError(program.name, `flags follow a command: one of ${names.join(", ")}`);
  }
  // "get services" before a "get" that might be added.
  for (const name of names.toSorted((a, b) => b.length - a.length)) {
    const words = name.split(" ");
    if (!words.every((word, i) => argv[i] === word)) continue;
    const parsed = parseCommand(program.commands[name] as Command<Flags>, argv.slice(words.length), environment);
    // The key and the values come from the same entry, which the mapped type cannot see.
    return (parsed.kind === "run" ? { ...parsed, command: name } : parsed) as ParsedProgram<C>;
  }
  return unknownCommand(program, argv, names);
}

function unknownCommand(program: Program<Commands>, argv: readonly string[], names: readonly string[]): NotRun {
  const [first = "", second] = argv;
  const family = names.filter((name) => name.startsWith(`${first} `));
  if (family.length > 0) {
    if (second === "--help" || second === "-h") return { kind: "help", text: programHelp(program) };
    const kinds = family.map((name) => name.slice(first.length + 1));
    const near = second === undefined || second.startsWith("-") ? undefined : suggest(second, kinds);
    const meant = near === undefined ? `one of ${kinds.join(", ")}` : `did you mean "${first} ${near}"?`;
    const what =
      second === undefined || second.startsWith("-") ? `what to ${first} is missing` : `unknown "${first} ${second}"`;
    return usageError(program.name, `${what}: ${meant}`);
  }
  const near = suggest(first, names);
  const meant = near === undefined ? `one of ${names.join(", ")}` : `did you mean "${near}"?`;
  return usageError(program.name, `unknown command "${first}": ${meant}`);
}

type Given =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | { readonly kind: "problem"; readonly problem: string }
  | { readonly kind: "flags"; readonly texts: ReadonlyMap<string, readonly string[]> };

/** Flags of every command; what they ask for is answered instead of running it. */
const answered: readonly string[] = ["--help", "-h", "--version"];

// The texts that each flag was given. Help wins over everything that is wrong.
function readArguments(command: Command<Flags>, argv: readonly string[]): Given {
  if (argv.includes("--help") || argv.includes("-h")) return { kind: "help" };
  if (argv.includes("--version")) return { kind: "version" };
  const texts = new Map<string, string[]>();
  const problem = (said: string): Given => ({ kind: "problem", problem: said });
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? "";
    if (!argument.startsWith("-") || argument === "-") {
      const { operand } = command;
      if (operand === undefined || texts.has(operand))
        return problem(`unexpected "${argument}": values belong to a flag, such as --flag VALUE`);
      texts.set(operand, [argument]);
      continue;
    }
    const equals = argument.indexOf("=");
    const name = equals < 0 ? argument : argument.slice(0, equals);
    if (answered.includes(name)) return problem(`${name} takes no value`);
    const found = findFlag(command.flags, name);
    if (found === undefined) return problem(unknownFlag(command.flags, name));
    const { key, flag, isNegated } = found;
    const values = texts.get(key) ?? [];
    texts.set(key, values);
    if (flag.arity === "switch") {
      if (isNegated && equals >= 0) return problem(`${name} takes no value`);
      values.push(isNegated ? "false" : equals < 0 ? "true" : argument.slice(equals + 1));
      continue;
    }
    if (flag.arity === "single" && values.length > 0) return problem(`${flagName(key)} is given twice: give it once`);
    if (equals >= 0) {
      values.push(...split(flag, argument.slice(equals + 1)));
      continue;
    }
    const following = argv.slice(i + 1);
    const count = flag.isVariadic ? following.findIndex(looksLikeFlag) : 1;
    const taken = count < 0 ? following : following.slice(0, count);
    if (taken.length === 0 || looksLikeFlag(taken[0] ?? "")) {
      return problem(`${name} needs a value: ${name} ${flag.valueName}`);
    }
    for (const text of taken) values.push(...split(flag, text));
    i += taken.length;
  }
  return { kind: "flags", texts };
}

// Keys of the sides that arguments decided against.
function silencedBy(
  texts: ReadonlyMap<string, readonly string[]>,
  alternatives: readonly Alternative[],
): ReadonlySet<string> {
  const silenced = new Set<string>();
  for (const sides of alternatives) {
    // A switch that is turned off decides nothing.
    const isChosen = (side: readonly string[]): boolean =>
      side.some((key) => texts.get(key)?.some((text) => text !== "false") ?? false);
    if (!sides.some(isChosen)) continue;
    for (const side of sides) if (!isChosen(side)) for (const key of side) silenced.add(key);
  }
  return silenced;
}

function readValue(
  key: string,
  flag: Flag<unknown>,
  texts: readonly string[] | undefined,
  variable: string | undefined,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: string } {
  // A variable that is set to nothing is not set.
  const set = variable === undefined || variable === "" ? undefined : variable;
  if (texts === undefined && set === undefined) {
    if (!flag.isRequired) return { ok: true, value: flag.fallback };
    return {
      ok: false,
      problem: `${flagName(key)} is missing: give ${flagName(key)} ${flag.valueName} or set ${variableName(key)}`,
    };
  }
  const given = texts ?? (flag.arity === "list" ? splitCommas(set ?? "") : [set ?? ""]);
  const parsed = flag.parse(given);
  if (parsed.ok) return parsed;
  const where = texts === undefined ? variableName(key) : flagName(key);
  const shown = given.length === 1 ? ` "${given[0] ?? ""}"` : "";
  return { ok: false, problem: `${where}${shown}: ${parsed.problem}` };
}

function findFlag(
  flags: Flags,
  name: string,
): { readonly key: string; readonly flag: Flag<unknown>; readonly isNegated: boolean } | undefined {
  for (const [key, flag] of Object.entries(flags)) {
    if (name === flagName(key) || (flag.short !== undefined && name === `-${flag.short}`))
      return { key, flag, isNegated: false };
    if (flag.arity === "switch" && name === `--no-${flagName(key).slice(2)}`) return { key, flag, isNegated: true };
  }
  return undefined;
}

function unknownFlag(flags: Flags, name: string): string {
  const known = [...Object.keys(flags).map(flagName), "--help", "--version"];
  const near = suggest(name, known);
  return near === undefined ? `unknown flag ${name}` : `unknown flag ${name}: did you mean ${near}?`;
}

// A negative number or "-" is a value.
function looksLikeFlag(text: string): boolean {
  return /^-[-a-zA-Z]/.test(text);
}

function split(flag: Flag<unknown>, text: string): readonly string[] {
  return flag.arity === "list" && flag.isCommaSeparated ? splitCommas(text) : [text];
}

function splitCommas(text: string): readonly string[] {
  return text.split(",").map((part) => part.trim());
}

function usageError(name: string, problem: string): NotRun {
  return { kind: "usage-error", message: `${name}: ${problem} (see ${name} --help)` };
}
