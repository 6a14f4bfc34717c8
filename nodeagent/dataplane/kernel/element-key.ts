/** Keys of the three maps that find a state: bytes for the kernel, text for the agent. Pure. */
import { mappedBytes, prefixFromBytes, printPrefix, type Address, type Prefix } from "@weft/proto/address.ts";
import { familyOf } from "@weft/proto/address.ts";
import type { Frontend } from "../../plan/frontend.ts";
import { writeAddress } from "./address-codec.ts";
import type { ElementMap } from "./kernel-maps.ts";
import { cidrKeyLayout, frontendKeyLayout, protocolCodes, rangeKeyLayout, scopeCodes } from "./layout.ts";

export interface ElementKey {
  readonly map: ElementMap;
  readonly text: string;
  readonly bytes: Uint8Array;
  /** As the state holds it: 20 bytes, and the length of a CIDR. */
  readonly stateKey: Uint8Array;
  readonly stateLength: number;
}

export function frontendElement(of: Frontend, text: string): ElementKey {
  const bytes = new Uint8Array(frontendKeyLayout.size);
  writeAddress(of.address, bytes, frontendKeyLayout.address);
  bytes[frontendKeyLayout.port] = of.port >> 8;
  bytes[frontendKeyLayout.port + 1] = of.port & 255;
  bytes[frontendKeyLayout.protocol] = protocolCodes[of.protocol];
  bytes[frontendKeyLayout.scope] = scopeCodes[of.scope];
  return { map: "frontends", text, bytes, stateKey: bytes, stateLength: 0 };
}

export function addressElement(of: Address): ElementKey {
  const stateKey = new Uint8Array(frontendKeyLayout.size);
  writeAddress(of, stateKey, frontendKeyLayout.address);
  return { map: "addresses", text: of, bytes: stateKey.slice(0, 16), stateKey, stateLength: 0 };
}

export function cidrElement(of: Prefix): ElementKey {
  const stateKey = new Uint8Array(frontendKeyLayout.size);
  stateKey.set(mappedBytes(of.address), frontendKeyLayout.address);
  const bytes = new Uint8Array(cidrKeyLayout.size);
  const stateLength = mappedLength(of);
  new DataView(bytes.buffer).setUint32(cidrKeyLayout.length, stateLength, true);
  bytes.set(stateKey.subarray(0, 16), cidrKeyLayout.address);
  return { map: "cidrs", text: printPrefix(of), bytes, stateKey, stateLength };
}

/** Bytes of a key of `ranges`. */
export function rangeElementKey(set: number, of: Prefix): Uint8Array {
  const bytes = new Uint8Array(rangeKeyLayout.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(rangeKeyLayout.length, setBits + mappedLength(of), true);
  view.setUint32(rangeKeyLayout.set, set, true);
  bytes.set(mappedBytes(of.address), rangeKeyLayout.address);
  return bytes;
}

/** By set: its ranges. `keys` holds keys of `ranges` one after the other. */
export function readRangeSets(keys: Uint8Array): Map<number, Prefix[]> {
  const sets = new Map<number, Prefix[]>();
  for (let at = 0; at + rangeKeyLayout.size <= keys.length; at += rangeKeyLayout.size) {
    const view = new DataView(keys.buffer, keys.byteOffset + at);
    const set = view.getUint32(rangeKeyLayout.set, true);
    const length = view.getUint32(rangeKeyLayout.length, true) - setBits;
    if (length < 0) continue;
    const address = keys.subarray(at + rangeKeyLayout.address, at + rangeKeyLayout.size);
    const ranges = sets.get(set) ?? [];
    sets.set(set, ranges);
    ranges.push(readPrefix(address, length));
  }
  return sets;
}

/** Of 16 bytes and a length in bits of them. */
export function readPrefix(bytes: Uint8Array, length: number): Prefix {
  const isMapped =
    length >= 96 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  return isMapped
    ? prefixFromBytes(bytes.subarray(12, 16), length - 96)
    : prefixFromBytes(bytes.subarray(0, 16), length);
}

/** The state key and length that an element's bytes must lead to. */
export function stateKeyOf(map: ElementMap, bytes: Uint8Array): { readonly key: Uint8Array; readonly length: number } {
  if (map === "frontends") return { key: bytes, length: 0 };
  const key = new Uint8Array(frontendKeyLayout.size);
  if (map === "addresses") {
    key.set(bytes);
    return { key, length: 0 };
  }
  key.set(bytes.subarray(cidrKeyLayout.address));
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(cidrKeyLayout.length, true);
  return { key, length };
}

/** Those that no other one contains: the programs look at no more than one CIDR per address and revision. */
export function widestPrefixes(prefixes: readonly Prefix[]): readonly Prefix[] {
  const byText = new Map(prefixes.map((prefix) => [printPrefix(prefix), prefix]));
  const unique = [...byText.values()];
  return unique.filter((inner) => !unique.some((outer) => outer !== inner && contains(outer, inner)));
}

function contains(outer: Prefix, inner: Prefix): boolean {
  if (familyOf(outer.address) !== familyOf(inner.address) || outer.length > inner.length) return false;
  const a = mappedBytes(outer.address);
  const b = mappedBytes(inner.address);
  const bits = mappedLength(outer);
  for (let bit = 0; bit < bits; bit++) {
    const mask = 0x80 >> (bit & 7);
    if (((a[bit >> 3] ?? 0) & mask) !== ((b[bit >> 3] ?? 0) & mask)) return false;
  }
  return true;
}

const setBits = 32;

function mappedLength(of: Prefix): number {
  return familyOf(of.address) === 4 ? of.length + 96 : of.length;
}
