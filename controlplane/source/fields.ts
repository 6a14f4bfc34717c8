/**
 * Reads fields of a JSON value of unknown shape. What does not fit is recorded as a refusal with the path of the field, and
 * reading goes on with a default, so that one pass names every fault. As in the API, null counts as absent.
 *
 * `at` is the path of the parent with its trailing dot ("spec.", "endpoints[3]."); paths are joined only when a field is refused.
 */
import { parseAddress, parsePrefix } from "@weft/proto/address.ts";
import type { Address, Prefix } from "@weft/proto/address.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export interface FieldRefusal {
  readonly field: string;
  readonly message: string;
}

/** Faults named per object; what follows would only repeat them. */
const refusalsMax = 16;
const quotedCharactersMax = 64;

export class Fields {
  readonly refusals: FieldRefusal[] = [];
  /** All that were refused, also beyond the ones that are named. */
  total = 0;

  refuse(field: string, message: string): void {
    this.total++;
    if (this.refusals.length < refusalsMax) this.refusals.push({ field, message });
  }

  /** An empty object if absent. */
  object(parent: JsonObject, key: string, at: string): JsonObject {
    const value = parent[key] ?? undefined;
    if (value === undefined) return {};
    if (isJsonObject(value)) return value;
    this.refuse(at + key, `must be an object, not ${describe(value)}`);
    return {};
  }

  /** An empty list if absent. */
  list(parent: JsonObject, key: string, at: string): readonly unknown[] {
    const value = parent[key] ?? undefined;
    if (value === undefined) return [];
    if (Array.isArray(value)) return value;
    this.refuse(at + key, `must be a list, not ${describe(value)}`);
    return [];
  }

  /** The items that are objects; any other item is refused. `read` gets the item's path with its trailing dot. */
  objects<T>(parent: JsonObject, key: string, at: string, read: (item: JsonObject, itemAt: string) => T): T[] {
    const found: T[] = [];
    for (const [i, item] of this.list(parent, key, at).entries()) {
      if (isJsonObject(item)) found.push(read(item, `${at}${key}[${i}].`));
      else this.refuse(`${at}${key}[${i}]`, `must be an object, not ${describe(item)}`);
    }
    return found;
  }

  /** The items that are texts; any other item is refused. */
  texts<T>(parent: JsonObject, key: string, at: string, read: (text: string, field: string) => T | undefined): T[] {
    const found: T[] = [];
    for (const [i, item] of this.list(parent, key, at).entries()) {
      const field = `${at}${key}[${i}]`;
      if (typeof item !== "string") {
        this.refuse(field, `must be a string, not ${describe(item)}`);
        continue;
      }
      const value = read(item, field);
      if (value !== undefined) found.push(value);
    }
    return found;
  }

  /** "" if absent. */
  text(parent: JsonObject, key: string, at: string): string {
    const value = parent[key] ?? undefined;
    if (value === undefined) return "";
    if (typeof value === "string") return value;
    this.refuse(at + key, `must be a string, not ${describe(value)}`);
    return "";
  }

  /** `otherwise` if absent. */
  boolean(parent: JsonObject, key: string, at: string, otherwise: boolean): boolean {
    const value = parent[key] ?? undefined;
    if (value === undefined) return otherwise;
    if (typeof value === "boolean") return value;
    this.refuse(at + key, `must be true or false, not ${describe(value)}`);
    return otherwise;
  }

  /** Undefined if absent or refused. */
  integer(parent: JsonObject, key: string, at: string, min: number, max: number): number | undefined {
    const value = parent[key] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number") {
      this.refuse(at + key, `must be a whole number from ${min} to ${max}, not ${describe(value)}`);
    } else if (!Number.isInteger(value) || value < min || value > max) {
      this.refuse(at + key, `must be a whole number from ${min} to ${max}, not ${value}`);
    } else {
      return value;
    }
    return undefined;
  }

  /** One of `choices`; the first if absent or empty. */
  choice<T extends string>(parent: JsonObject, key: string, at: string, choices: readonly [T, ...T[]]): T {
    const value = this.text(parent, key, at);
    if (value === "") return choices[0];
    const found = choices.find((choice) => choice === value);
    if (found === undefined) this.refuse(at + key, `must be one of ${choices.join(", ")}, not ${quote(value)}`);
    return found ?? choices[0];
  }

  /**
   * A name of an object, zone, node or port; "" if absent. Characters outside of Kubernetes' names are refused: names are joined
   * with "/" and NUL, and printed.
   */
  name(parent: JsonObject, key: string, at: string): string {
    const value = this.text(parent, key, at);
    if (value !== "" && !isName(value)) {
      this.refuse(
        at + key,
        `must be at most 253 letters, digits, "-", "_" and ".", beginning and ending with a letter or digit, not ${quote(value)}`,
      );
      return "";
    }
    return value;
  }

  address(text: string, field: string): Address | undefined {
    const address = parseAddress(text);
    if (address === undefined) this.refuse(field, `must be an IP address, not ${quote(text)}`);
    else if (address === "0.0.0.0" || address === "::")
      this.refuse(field, `must not be the unspecified address ${address}`);
    else return address;
    return undefined;
  }

  prefix(text: string, field: string): Prefix | undefined {
    const prefix = parsePrefix(text);
    if (prefix === undefined) this.refuse(field, `must be an address range such as 10.0.0.0/8, not ${quote(text)}`);
    return prefix;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isName(text: string): boolean {
  return text.length <= 253 && /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(text);
}

/** By presence, also of null: labels count so (S12). */
export function hasKey(of: JsonObject, key: string): boolean {
  return Object.hasOwn(of, key);
}

/** The kind of a value, for messages. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return `the string ${quote(value)}`;
  return `the ${typeof value} ${quote(value)}`;
}

/** A value in a message: bounded, on one line. */
export function quote(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value.slice(0, quotedCharactersMax + 1)) : String(value);
  return text.length > quotedCharactersMax + 2 ? `${text.slice(0, quotedCharactersMax)}…` : text;
}
