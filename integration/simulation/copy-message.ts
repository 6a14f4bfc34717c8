/** A copy as a message between threads is one, and much cheaper: whatever would not survive a structured clone is an error here too. */

/** Bytes over memory that threads share stay shared. @throws TypeError */
export function copyMessage<T>(value: T): T {
  return copied(value) as T;
}

function copied(value: unknown): unknown {
  if (typeof value === "function" || typeof value === "symbol") throw new TypeError(`${typeof value} in a message`);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copied);
  if (value instanceof Uint8Array) return value.buffer instanceof SharedArrayBuffer ? value : Uint8Array.from(value);
  const kind: unknown = Object.getPrototypeOf(value);
  // Other views, maps and errors are rare.
  if (kind !== Object.prototype && kind !== null) return structuredClone(value);
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value)) copy[name] = copied((value as Record<string, unknown>)[name]);
  return copy;
}
