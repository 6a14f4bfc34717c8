/**
 * IP addresses and ranges as text and bytes. Text is canonical: dotted decimal without padding, RFC 5952 for IPv6; a
 * v4-mapped IPv6 address is IPv4 (S25). Zero padding in decimal ("172.30.0.041") and blanks are tolerated when parsing.
 */

/** Canonical text of an IPv4 or IPv6 address. */
export type Address = string & { readonly brand: "Address" };

export type Family = 4 | 6;

/** An address range; host bits are zero. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

/** Undefined if `text` is no IP address. Zones ("%eth0") are refused. */
export function parseAddress(text: string): Address | undefined {
  const bytes = parseAddressBytes(text.trim());
  return bytes === undefined ? undefined : addressFromBytes(bytes);
}

/** @throws RangeError unless there are 4 or 16 bytes. */
export function addressFromBytes(bytes: Uint8Array): Address {
  // A hot path: four times faster than join.
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Address;
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  if (isMapped(bytes)) return bytes.subarray(12).join(".") as Address;
  return printIPv6(bytes) as Address;
}

/** 4 or 16 bytes. */
export function addressBytes(of: Address): Uint8Array {
  const bytes = parseAddressBytes(of);
  if (bytes === undefined) throw new RangeError(`not an address: ${of}`);
  return bytes;
}

/** Writes its 4 or 16 bytes into `target` from `at` on. Returns how many. */
export function copyAddressBytes(of: Address, target: Uint8Array, at: number): number {
  if (copyIPv4(of, target, at) !== undefined) return 4;
  const bytes = addressBytes(of);
  target.set(bytes, at);
  return bytes.length;
}

/** 16 bytes; IPv4 is v4-mapped. */
export function mappedBytes(of: Address): Uint8Array {
  const bytes = addressBytes(of);
  if (bytes.length === 16) return bytes;
  const mapped = new Uint8Array(16);
  mapped.fill(0xff, 10, 12);
  mapped.set(bytes, 12);
  return mapped;
}

export function familyOf(of: Address): Family {
  return of.includes(":") ? 6 : 4;
}

/** "ip:port" or "[ip]:port". */
export function printSocketAddress(address: Address, port: number): string {
  return familyOf(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Undefined unless `text` is "ip:port" or "[ip]:port" with a port from 1 to 65535. */
export function parseSocketAddress(text: string): { readonly address: Address; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text.trim());
  if (match === null) return undefined;
  const address = parseAddress(match[1] ?? match[2] ?? "");
  const port = Number(match[3]);
  return address === undefined || port < 1 || port > 65_535 ? undefined : { address, port };
}

/** Undefined if `text` is no CIDR. Blanks, zero padding and host bits are tolerated; a v4-mapped range of /96 or more is IPv4. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^\s*([^/\s]+)\s*\/\s*(\d{1,4})\s*$/.exec(text);
  if (match === null) return undefined;
  const raw = parseAddressBytes(match[1] ?? "");
  if (raw === undefined) return undefined;
  const length = Number(match[2]);
  if (length > raw.length * 8) return undefined;
  if (raw.length === 16 && isMapped(raw) && length >= 96) return prefixFromBytes(raw.subarray(12), length - 96);
  return prefixFromBytes(raw, length);
}

/** @throws RangeError if the length does not fit the family. */
export function prefixFromBytes(bytes: Uint8Array, length: number): Prefix {
  if (length < 0 || length > bytes.length * 8)
    throw new RangeError(`a prefix of ${bytes.length} bytes has no length ${length}`);
  const masked = bytes.map((byte, i) => byte & (0xff << Math.max(0, 8 - Math.max(0, length - i * 8))));
  // A masked v4-mapped address with a short prefix is still IPv6.
  const address = masked.length === 16 ? (printIPv6(masked) as Address) : addressFromBytes(masked);
  return { address, length };
}

export function printPrefix(of: Prefix): string {
  return `${of.address}/${of.length}`;
}

export function prefixContains(prefix: Prefix, address: Address): boolean {
  return bytesContain(addressBytes(prefix.address), prefix.length, addressBytes(address));
}

/** Whether the first `length` bits are equal; false for another family. */
export function bytesContain(range: Uint8Array, length: number, bytes: Uint8Array): boolean {
  if (range.length !== bytes.length) return false;
  const whole = length >> 3;
  for (let i = 0; i < whole; i++) if (range[i] !== bytes[i]) return false;
  const rest = length & 7;
  return rest === 0 || ((bytes[whole] ?? 0) & (0xff << (8 - rest)) & 0xff) === range[whole];
}

/** Order of bytes, IPv4 before IPv6. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Order of UTF-16 code units, the order of `<`. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

function parseAddressBytes(text: string): Uint8Array | undefined {
  return text.includes(":") ? parseIPv6(text) : parseIPv4(text);
}

function parseIPv4(text: string): Uint8Array | undefined {
  return copyIPv4(text, new Uint8Array(4), 0);
}

const dot = 0x2e;
const zero = 0x30;
/** Of one number: zero padding is tolerated, but not without end. */
const digitsMax = 4;

// By characters, because a match makes five texts. Returns `target`; undefined if `text` is no dotted decimal.
function copyIPv4(text: string, target: Uint8Array, at: number): Uint8Array | undefined {
  let numbers = 0;
  let digits = 0;
  let value = 0;
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : dot;
    if (code === dot) {
      if (digits === 0 || value > 255 || numbers === 4) return undefined;
      target[at + numbers++] = value;
      digits = 0;
      value = 0;
    } else {
      const digit = code - zero;
      if (digit < 0 || digit > 9 || digits === digitsMax) return undefined;
      digits++;
      value = value * 10 + digit;
    }
  }
  return numbers === 4 ? target : undefined;
}

function parseIPv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return Uint8Array.from([...head, ...Array.from({ length: missing }, () => 0), ...tail]);
}

// Bytes of colon-separated groups; the last one may be dotted decimal if `isEnd`.
function parseGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":");
  const bytes: number[] = [];
  for (const [i, group] of groups.entries()) {
    if (isEnd && i === groups.length - 1 && group.includes(".")) {
      const v4 = parseIPv4(group);
      if (v4 === undefined) return undefined;
      bytes.push(...v4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

// RFC 5952: lower case, no padding, the first longest run of two or more zero groups is "::".
function printIPv6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > bestLength) {
      bestStart = i;
      bestLength = length;
    }
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  if (bestStart < 0) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}
