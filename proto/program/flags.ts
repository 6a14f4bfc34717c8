/**
 * Flags as values: each declares its type, help and default, and every program gets the same command line from that.
 * A flag's key in camelCase is its name: `nodeAddresses` is `--node-addresses` and `WEFT_NODE_ADDRESSES`.
 */

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

/** A declared flag whose value, once read, is a `T`. */
export interface Flag<T> {
  readonly arity: "switch" | "single" | "list";
  /** Name of the value in help, such as HOST:PORT. */
  readonly valueName: string;
  readonly help: string;
  readonly isRequired: boolean;
  /** One letter: `-o`. */
  readonly short: string | undefined;
  /** What stands for the default in help; "": nothing. */
  readonly shownDefault: string;
  /** Values may also be separated by commas (in the WEFT_ variable of a list always). */
  readonly isCommaSeparated: boolean;
  /** `--flag a b` gives two values: all up to the next flag. */
  readonly isVariadic: boolean;
  /** Value when it is not given. */
  readonly fallback: T;
  /** The value of the given texts, at least one; a single flag gets exactly one. */
  readonly parse: (texts: readonly string[]) => Parsed<T>;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;

/** The values of declared flags. */
export type Values<F extends Flags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

interface Described {
  readonly value?: string;
  readonly help: string;
  readonly short?: string;
}

interface Declared<T> extends Described {
  /** Refused unless it is given. */
  readonly required?: true;
  readonly default?: T;
}

// Without a default and not required, the value may be undefined.
type Present<T, D> = D extends { readonly required: true } | { readonly default: T } ? T : T | undefined;

type ParsedBy<D> = D extends { readonly parse: (text: string) => Parsed<infer T> } ? T : never;

/** A flag with one value of any type. `print` shows a default in help. */
export function single<
  const D extends Declared<unknown> & {
    readonly parse: (text: string) => Parsed<unknown>;
    readonly print?: (value: never) => string;
  },
>(declared: D): Flag<Present<ParsedBy<D>, D>> {
  const print = declared.print as ((value: unknown) => string) | undefined;
  const flag = make(declared, declared.value ?? "VALUE", declared.parse, print ?? String);
  return flag as Flag<Present<ParsedBy<D>, D>>;
}

/** Any text but the empty one. */
export function text<const D extends Declared<string>>(declared: D): Flag<Present<string, D>> {
  return make(declared, declared.value ?? "TEXT", parseText, String) as Flag<Present<string, D>>;
}

/** A whole number from `min` to `max`, both included. */
export function integer<const D extends Declared<number> & { readonly min: number; readonly max: number }>(
  declared: D,
): Flag<Present<number, D>> {
  const parse = (given: string): Parsed<number> => {
    const value = /^-?\d{1,15}$/.test(given) ? Number(given) : Number.NaN;
    if (value >= declared.min && value <= declared.max) return { ok: true, value };
    return { ok: false, problem: `give a whole number from ${declared.min} to ${declared.max}` };
  };
  return make(declared, declared.value ?? "N", parse, String) as Flag<Present<number, D>>;
}

/** Milliseconds from "500ms", "30s", "10m", "2h" or a sum such as "1m30s"; from `minMs` (0) to `maxMs` (24 h). */
export function duration<const D extends Declared<number> & { readonly minMs?: number; readonly maxMs?: number }>(
  declared: D,
): Flag<Present<number, D>> {
  const min = declared.minMs ?? 0;
  const max = declared.maxMs ?? 24 * 3_600_000;
  const parse = (given: string): Parsed<number> => {
    const value = parseDuration(given);
    if (value !== undefined && value >= min && value <= max) return { ok: true, value };
    const range = `from ${printDuration(min)} to ${printDuration(max)}`;
    return { ok: false, problem: `give a duration ${range}, such as 30s, 500ms or 10m` };
  };
  return make(declared, declared.value ?? "DURATION", parse, printDuration) as Flag<Present<number, D>>;
}

/** One of some words. */
export function choice<const D extends Declared<string> & { readonly choices: readonly string[] }>(
  declared: D & { readonly default?: D["choices"][number] },
): Flag<Present<D["choices"][number], D>> {
  const parse = (given: string): Parsed<string> =>
    declared.choices.includes(given)
      ? { ok: true, value: given }
      : { ok: false, problem: `give one of ${declared.choices.join(", ")}` };
  const flag = make(declared, declared.value ?? declared.choices.join("|"), parse, String);
  return flag as Flag<Present<D["choices"][number], D>>;
}

/** A number of things or a share of them. */
export type Amount =
  | { readonly kind: "count"; readonly count: number }
  /** From 0 to 100. */
  | { readonly kind: "percent"; readonly percent: number };

/** "3" or "50%", whole numbers. A count of `minCount` to 2^31-1, a share of `minPercent` to 100. */
export function amount<const D extends Declared<Amount> & { readonly minCount: number; readonly minPercent: number }>(
  declared: D,
): Flag<Present<Amount, D>> {
  const parse = (given: string): Parsed<Amount> => {
    const match = /^(\d{1,10})(%?)$/.exec(given);
    const number = Number(match?.[1] ?? Number.NaN);
    if (match?.[2] === "%" && number >= declared.minPercent && number <= 100) {
      return { ok: true, value: { kind: "percent", percent: number } };
    }
    if (match?.[2] === "" && number >= declared.minCount && number < 2 ** 31) {
      return { ok: true, value: { kind: "count", count: number } };
    }
    const range = `a number from ${declared.minCount} or a share from ${declared.minPercent}% to 100%`;
    return { ok: false, problem: `give ${range}` };
  };
  return make(declared, declared.value ?? "N|P%", parse, printAmount) as Flag<Present<Amount, D>>;
}

/** A share from 0 to 100, as "50%" or "50". */
export function percent<const D extends Declared<number>>(declared: D): Flag<Present<number, D>> {
  const parse = (given: string): Parsed<number> => {
    const value = /^\d{1,3}%?$/.test(given) ? Number.parseInt(given, 10) : Number.NaN;
    return value <= 100 ? { ok: true, value } : { ok: false, problem: "give a share from 0% to 100%, such as 50%" };
  };
  return make(declared, declared.value ?? "P%", parse, (value) => `${value}%`) as Flag<Present<number, D>>;
}

/** `--flag`, `--no-flag`, `--flag=false`; false unless given or `default: true`. */
export function boolean(declared: {
  readonly help: string;
  readonly short?: string;
  readonly default?: boolean;
}): Flag<boolean> {
  return {
    arity: "switch",
    valueName: "",
    help: declared.help,
    isRequired: false,
    short: declared.short,
    shownDefault: declared.default === true ? "true" : "",
    isCommaSeparated: false,
    isVariadic: false,
    fallback: declared.default ?? false,
    parse: (texts) => {
      const given = (texts.at(-1) ?? "").toLowerCase();
      if (["true", "1", "yes"].includes(given)) return { ok: true, value: true };
      if (["false", "0", "no"].includes(given)) return { ok: true, value: false };
      return { ok: false, problem: "give true or false" };
    },
  };
}

interface DeclaredList extends Described {
  readonly required?: boolean;
  readonly isCommaSeparated?: boolean;
  readonly isVariadic?: boolean;
}

/** Texts; may be given several times. Not given: []. */
export function list(declared: DeclaredList): Flag<readonly string[]> {
  return listOf({ ...declared, parse: parseText });
}

/** Values of any type; may be given several times. Not given: []. */
export function listOf<T>(
  declared: DeclaredList & { readonly parse: (text: string) => Parsed<T> },
): Flag<readonly T[]> {
  return {
    arity: "list",
    valueName: declared.value ?? "VALUE",
    help: declared.help,
    isRequired: declared.required ?? false,
    short: declared.short,
    shownDefault: "",
    isCommaSeparated: declared.isCommaSeparated ?? false,
    isVariadic: declared.isVariadic ?? false,
    fallback: [],
    parse: (texts) => {
      const values: T[] = [];
      for (const given of texts) {
        const parsed = declared.parse(given);
        if (!parsed.ok) {
          return { ok: false, problem: texts.length === 1 ? parsed.problem : `"${given}": ${parsed.problem}` };
        }
        values.push(parsed.value);
      }
      return { ok: true, value: values };
    },
  };
}

/** `nodeAddresses` -> "--node-addresses". */
export function flagName(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `nodeAddresses` -> "WEFT_NODE_ADDRESSES". */
export function variableName(key: string): string {
  return `WEFT_${flagName(key).slice(2).replaceAll("-", "_").toUpperCase()}`;
}

/** Milliseconds; undefined unless `given` is a sum of numbers with units, the largest first. */
export function parseDuration(given: string): number | undefined {
  const match = /^(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,12})ms)?$/.exec(given);
  if (match === null || given === "") return given === "0" ? 0 : undefined;
  const [hours, minutes, seconds, ms] = match.slice(1).map((part) => Number(part ?? 0));
  return Math.round((hours ?? 0) * 3_600_000 + (minutes ?? 0) * 60_000 + (seconds ?? 0) * 1_000 + (ms ?? 0));
}

/** The shortest sum that parses back to `ms`. */
export function printDuration(ms: number): string {
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(ms / 3_600_000), "h"],
    [Math.floor(ms / 60_000) % 60, "m"],
    [Math.floor(ms / 1_000) % 60, "s"],
    [Math.round(ms % 1_000), "ms"],
  ];
  const printed = parts.filter(([number]) => number > 0).map(([number, unit]) => `${number}${unit}`);
  return printed.length === 0 ? "0s" : printed.join("");
}

/** "3" or "50%". */
export function printAmount(of: Amount): string {
  return of.kind === "count" ? String(of.count) : `${of.percent}%`;
}

function make<T>(
  declared: Declared<T>,
  valueName: string,
  parse: (text: string) => Parsed<T>,
  print: (value: T) => string,
): Flag<T | undefined> {
  return {
    arity: "single",
    valueName,
    help: declared.help,
    isRequired: declared.required === true,
    short: declared.short,
    shownDefault: declared.default === undefined ? "" : print(declared.default),
    isCommaSeparated: false,
    isVariadic: false,
    fallback: declared.default,
    parse: (texts) => parse(texts.at(-1) ?? ""),
  };
}

function parseText(given: string): Parsed<string> {
  return given === "" ? { ok: false, problem: "the value is empty" } : { ok: true, value: given };
}
