/**
 * The reading rule of bpf/words.h and bpf/lookup.h as a generator that stops between any two loads, so that a test can put
 * stores of the writer there. Test support.
 */
import { printSocketAddress } from "@weft/proto/address.ts";
import { descriptorBits, descriptorMask, stateLayout } from "../layout.ts";
import { MapReader } from "../map-reader.ts";
import type { MemoryMaps } from "./memory-maps.ts";

const readsMax = 4;
const absent = "absent";

export type ReadingRule = "right" | "no second look" | "older must be active";

/** Yields between loads; returns what the frontend did: "forward a:1,b:2", "reject", "absent". */
export function* readFrontend(maps: MemoryMaps, key: Uint8Array, rule: ReadingRule): Generator<undefined, string> {
  const active = maps.active;
  yield;
  const index = maps.lookup("frontends", key);
  if (index === undefined) return absent;
  yield;
  const words = new BigInt64Array(maps.arrays.states, index * stateLayout.size + stateLayout.word, 2);
  let first = 0n;
  let second = 0n;
  for (let i = 0; i < readsMax; i++) {
    first = words[0] ?? 0n;
    yield;
    second = words[1] ?? 0n;
    yield;
    if (rule === "no second look" || first === words[0]) break;
  }
  const newer = first > second ? first : second;
  const older = first > second ? second : first;
  let word = newer >> descriptorBits <= active ? newer : older;
  if (rule === "older must be active" && word >> descriptorBits > active) word = 0n;
  yield;
  const stateKey = new Uint8Array(maps.arrays.states, index * stateLayout.size, key.length);
  if (key.some((byte, at) => byte !== stateKey[at])) return absent;
  const descriptor = Number(word & descriptorMask);
  if (descriptor === 0) return absent;
  yield;
  const before = new MapReader(maps.arrays).frontend(key, descriptor);
  yield;
  // A choice is made from the range some time after the descriptor was read.
  const after = new MapReader(maps.arrays).frontend(key, descriptor);
  if (before === undefined || after === undefined) return "garbage";
  const targets = after.targets.map(({ address, port }) => printSocketAddress(address, port)).join(",");
  return `${before.servicePort} ${before.action} ${targets}`;
}
