/**
 * The reading rule of bpf/words.h and bpf/lookup.h as a generator that stops between any two loads, so that a test can put
 * stores of the writer there. Test support.
 */
import { compareText, printPrefix, printSocketAddress } from "@weft/proto/address.ts";
import type { Frontend } from "../../../plan/frontend.ts";
import { readRangeSets } from "../element-key.ts";
import type { ElementMap } from "../kernel-maps.ts";
import { descriptorBits, descriptorMask, passDescriptor, stateLayout } from "../layout.ts";
import { MapReader } from "../map-reader.ts";
import type { MemoryMaps } from "./memory-maps.ts";

const readsMax = 4;
// More than any test makes activations during one lookup: the bound of the programs leaves a mixture possible.
const lookupsMax = 64;

export type ReadingRule = "right" | "once" | "no second look" | "older must be active";

/**
 * Looks up a frontend, then its address, under one `active`. Yields between loads; returns what was found there:
 * "a/web:http forward a:1,b:2", "a/web:http reject ", "address reject", "address pass", "absent".
 */
export function* readFrontend(maps: MemoryMaps, key: Uint8Array, rule: ReadingRule): Generator<undefined, string> {
  let descriptor = 0;
  let fallback = "absent";
  // A second lookup, which follows an activation, would cover for the broken older word.
  const isOnce = rule === "once" || rule === "older must be active";
  for (let i = 0; i < lookupsMax; i++) {
    const active = maps.active;
    yield;
    descriptor = yield* readState(maps, "frontends", key, active, rule);
    if (descriptor !== 0) break;
    yield;
    const address = yield* readState(maps, "addresses", key.subarray(0, 16), active, rule);
    fallback = address === 0 ? "absent" : address === passDescriptor ? "address pass" : "address reject";
    if (isOnce || maps.active === active) return fallback;
  }
  if (descriptor === 0) return fallback;
  yield;
  const before = readWhole(maps, key, descriptor);
  yield;
  // A choice is made from the range some time after the descriptor was read.
  const after = readWhole(maps, key, descriptor);
  if (before === undefined || after === undefined) return "garbage";
  const targets = after.targets.map(({ address, port }) => printSocketAddress(address, port)).join(",");
  return `${before.servicePort} ${before.action} ${targets}${printSources(after)}`;
}

/** " from a/8,b/16", or nothing where every source is allowed. */
export function printSources({ sourceRanges }: Frontend): string {
  return sourceRanges === undefined ? "" : ` from ${sourceRanges.map(printPrefix).toSorted(compareText).join(",")}`;
}

function readWhole(maps: MemoryMaps, key: Uint8Array, descriptor: number): Frontend | undefined {
  return new MapReader(maps.arrays, readRangeSets(maps.elements("ranges").keys)).frontend(key, descriptor);
}

function* readState(
  maps: MemoryMaps,
  map: ElementMap,
  key: Uint8Array,
  active: bigint,
  rule: ReadingRule,
): Generator<undefined, number> {
  const index = maps.lookup(map, key);
  if (index === undefined) return 0;
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
  return key.some((byte, at) => byte !== stateKey[at]) ? 0 : Number(word & descriptorMask);
}
