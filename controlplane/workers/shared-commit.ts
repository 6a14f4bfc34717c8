/**
 * A commit as columns over one shared buffer: written once by the main thread, read in place by every worker. Order is that of the
 * commit, so that every worker's catalog answers the same.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import type { ResourceId, ResourceKind } from "@weft/proto/ids.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import type { Commit, CompiledResource } from "../catalog/resource.ts";
import { SharedResource } from "./shared-resource.ts";
import type { Place } from "./shared-resource.ts";

/** Where the bytes of resources stand. */
export interface SharedPlaces {
  readonly ids: BigUint64Array;
  /** `ends[i - 1]` to `ends[i]` of `bytes`. */
  readonly ends: Float64Array;
  readonly bytes: Uint8Array;
}

export interface SharedCommit extends SharedPlaces {
  readonly revision: Revision;
  /** Of backends; 0: none. */
  readonly services: BigUint64Array;
  /** Index into `kinds`. */
  readonly kinds: Uint8Array;
  /** High and low half of each. */
  readonly hashes: Uint32Array;
  readonly removals: BigUint64Array;
  readonly triggers: TriggerTimes;
}

const kinds: readonly ResourceKind[] = ["name", "service", "backend"];

export function sharedPlaces(resources: readonly CompiledResource[]): SharedPlaces {
  const ids = new BigUint64Array(new SharedArrayBuffer(resources.length * 8));
  const ends = new Float64Array(new SharedArrayBuffer(resources.length * 8));
  const length = resources.reduce((sum, { bytesLength }) => sum + bytesLength, 0);
  const bytes = new Uint8Array(new SharedArrayBuffer(length));
  let at = 0;
  for (const [i, resource] of resources.entries()) {
    ids[i] = resource.id;
    resource.copyTo(bytes, at);
    at += resource.bytesLength;
    ends[i] = at;
  }
  return { ids, ends, bytes };
}

export function sharedCommit(commit: Pick<Commit, "revision" | "puts" | "removals" | "triggers">): SharedCommit {
  const { revision, puts, triggers } = commit;
  const services = new BigUint64Array(new SharedArrayBuffer(puts.length * 8));
  const kindsOf = new Uint8Array(new SharedArrayBuffer(puts.length));
  const hashes = new Uint32Array(new SharedArrayBuffer(puts.length * 8));
  for (const [i, { kind, service, hash }] of puts.entries()) {
    services[i] = service ?? 0n;
    kindsOf[i] = kinds.indexOf(kind);
    hashes[2 * i] = hash.high;
    hashes[2 * i + 1] = hash.low;
  }
  const removals = new BigUint64Array(new SharedArrayBuffer(commit.removals.length * 8));
  for (const [i, { id }] of commit.removals.entries()) removals[i] = id;
  return { ...sharedPlaces(puts), revision, services, kinds: kindsOf, hashes, removals, triggers };
}

/** @param get What a catalog at the revision before holds. @throws RangeError if it lacks what is removed. */
export function readSharedCommit(shared: SharedCommit, get: (id: ResourceId) => CompiledResource | undefined): Commit {
  const { revision, ids, ends, bytes, services, kinds: kindsOf, hashes, triggers } = shared;
  const puts: SharedResource[] = [];
  const replaced = new Map<ResourceId, CompiledResource>();
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as ResourceId;
    const kind = kinds[kindsOf[i] ?? 0] ?? "name";
    const service = kind === "backend" ? (services[i] as ResourceId) : undefined;
    const hash = { high: hashes[2 * i] ?? 0, low: hashes[2 * i + 1] ?? 0 };
    puts.push(new SharedResource(id, kind, service, hash, placeOf(ends, bytes, i)));
    const current = get(id);
    if (current !== undefined) replaced.set(id, current);
  }
  const removals = Array.from(shared.removals, (id) => {
    const removed = get(id as ResourceId);
    if (removed === undefined) throw new RangeError(`revision ${revision} removes ${id}, which is not there`);
    return removed;
  });
  return { revision, puts, removals, replaced, triggers };
}

/** Lets resources read the same bytes in a newer buffer, so that the older ones can go. */
export function moveResources(
  { ids, ends, bytes }: SharedPlaces,
  get: (id: ResourceId) => CompiledResource | undefined,
): void {
  for (let i = 0; i < ids.length; i++) {
    const resource = get(ids[i] as ResourceId);
    if (resource instanceof SharedResource) resource.move(placeOf(ends, bytes, i));
  }
}

function placeOf(ends: Float64Array, buffer: Uint8Array, i: number): Place {
  return { buffer, start: i === 0 ? 0 : (ends[i - 1] ?? 0), end: ends[i] ?? 0 };
}
