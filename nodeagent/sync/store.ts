/**
 * What this agent holds: resources with their bytes exactly as received, their digest, and the backends of each service.
 * Changes only by `commit`, as one step. Bodies are decoded when a service is planned, not kept decoded: see kept-bytes.ts.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { bucketOf, Digest, digestBuckets } from "@weft/proto/digest.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Backend, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { hash64, hashToBigint } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { PlanInput, ServiceView } from "../plan/plan-input.ts";
import { bytesOf } from "./kept-bytes.ts";
import { plainBackend } from "./plain-backend.ts";
import type { HeldResource, ReceivedPart } from "./received-resource.ts";

/** What a complete delta prunes beyond what it names. */
export type Pruning = "nothing" | "everything-unlisted";

/** What really differs after a commit. */
export interface StoreChange {
  readonly puts: ReadonlyMap<ResourceId, HeldResource>;
  /** Removed, pruned, and backends of removed services. */
  readonly removed: readonly ResourceId[];
  /** Names of services that changed, or that gained, lost or changed a backend. */
  readonly touched: ReadonlySet<string>;
  /** Services that were put or removed. */
  readonly serviceChanges: number;
  /** Backends that were put or removed. */
  readonly backendChanges: number;
}

export interface StoreCounts {
  readonly services: number;
  readonly backends: number;
  readonly names: number;
  readonly unknown: number;
}

interface Membership {
  /** Undefined: backends of a service that is not held; they wait for it. */
  name: string | undefined;
  /** The Service, once it was asked for. */
  decoded: Service | undefined;
  /** Not only ids: planning everything would look each of them up. */
  readonly backends: Map<ResourceId, HeldResource>;
}

export class Store implements PlanInput {
  readonly #resources: Map<ResourceId, HeldResource>;
  // By id of the service; an entry exists while it has a name or a backend.
  readonly #members = new Map<ResourceId, Membership>();
  readonly #idsByName = new Map<string, ResourceId>();
  #digest: Digest;
  // Ids of each digest bucket, while somebody asks for them: 8 bytes a resource and what arrays have to spare, 4 MB for 250,000.
  #idsByBucket: readonly ResourceId[][] | undefined;
  readonly #counts = { service: 0, backend: 0, name: 0, unknown: 0 };

  /** @param saved what it holds from the start; it is this store's from now on, and `digest` is believed */
  constructor(saved?: { readonly resources: Map<ResourceId, HeldResource>; readonly digest: Digest }) {
    this.#resources = saved?.resources ?? new Map();
    this.#digest = saved?.digest ?? new Digest();
    const touched = new Set<string>();
    for (const [id, resource] of this.#resources) this.#index(id, resource, touched);
  }

  /** Root digest of what is held. */
  get digest(): bigint {
    return this.#digest.root;
  }

  get counts(): StoreCounts {
    const { service, backend, name, unknown } = this.#counts;
    return { services: service, backends: backend, names: name, unknown };
  }

  /** Resources held, of every kind. */
  get size(): number {
    return this.#resources.size;
  }

  /** Everything held, for the snapshot on disk. */
  resources(): ReadonlyMap<ResourceId, HeldResource> {
    return this.#resources;
  }

  serviceNames(): IterableIterator<string> {
    return this.#idsByName.keys();
  }

  /**
   * `name` is "namespace/name". The Service is one object for as long as its bytes stay; backends are decoded each time they are
   * iterated over.
   */
  serviceByName(name: string): ServiceView | undefined {
    const id = this.#idsByName.get(name);
    const held = id === undefined ? undefined : this.#resources.get(id);
    const members = id === undefined ? undefined : this.#members.get(id);
    if (held === undefined || members === undefined) return undefined;
    members.decoded ??= decodeService(held);
    return {
      service: members.decoded,
      backends: { [Symbol.iterator]: () => decodeBackends(members.backends.values()) },
    };
  }

  /** How many of the services held would be gone after a commit of these parts. */
  servicesRemovedBy(parts: readonly ReceivedPart[], pruning: Pruning): number {
    let kept = 0;
    let removed = 0;
    const seen = new Set<ResourceId>();
    for (const part of parts) {
      for (const id of part.puts.keys()) {
        if (seen.has(id) || this.#resources.get(id)?.kind !== "service") continue;
        seen.add(id);
        kept++;
      }
    }
    if (pruning === "everything-unlisted") return this.#counts.service - kept;
    for (const part of parts) {
      for (const id of part.removed) {
        if (seen.has(id) || this.#resources.get(id)?.kind !== "service") continue;
        seen.add(id);
        removed++;
      }
    }
    return removed;
  }

  /**
   * Applies a complete delta as one step: removals first (a service takes its backends with it), then what is put, then
   * what a snapshot does not list. A resource whose bytes did not change touches nothing.
   */
  commit(parts: readonly ReceivedPart[], pruning: Pruning): StoreChange {
    const removed: ResourceId[] = [];
    const puts = new Map<ResourceId, HeldResource>();
    const touched = new Set<string>();
    const listed = new Set<ResourceId>();
    for (const part of parts) for (const id of part.puts.keys()) listed.add(id);
    const implied = new Set<ResourceId>();
    for (const part of parts) for (const id of part.removed) this.#collectRemoval(id, listed, implied);
    if (pruning === "everything-unlisted") {
      for (const id of this.#resources.keys()) if (!listed.has(id)) implied.add(id);
    }
    const changes = { service: 0, backend: 0, name: 0, unknown: 0 };
    for (const id of implied) {
      const held = this.#remove(id, touched);
      if (held === undefined) continue;
      removed.push(id);
      changes[held.kind]++;
    }
    for (const part of parts) {
      for (const [id, resource] of part.puts) {
        if (!this.#put(id, resource, touched)) continue;
        puts.set(id, resource);
        changes[resource.kind]++;
      }
    }
    return { puts, removed, touched, serviceChanges: changes.service, backendChanges: changes.backend };
  }

  /**
   * What a repair of these parts would touch outside its buckets, backends of removed services included. Undefined: nothing.
   */
  strayOf(parts: readonly ReceivedPart[], buckets: readonly number[]): string | undefined {
    const named = new Set(buckets);
    const isStray = (id: ResourceId): boolean => !named.has(bucketOf(id));
    let stray: ResourceId | undefined;
    for (const { puts, removed } of parts) {
      for (const id of puts.keys()) if (isStray(id)) stray = id;
      for (const id of removed) {
        if (isStray(id)) stray = id;
        if (this.#resources.get(id)?.kind !== "service") continue;
        for (const member of this.#members.get(id)?.backends.keys() ?? []) if (isStray(member)) stray = member;
      }
    }
    if (stray === undefined) return undefined;
    return `a repair touches resource ${stray.toString(16)} of bucket ${bucketOf(stray)}, which it does not name`;
  }

  /** Sums the digest anew from the bytes: a comparison is of what is held, not of what was once counted. */
  recount(): void {
    const digest = new Digest();
    for (const [id, resource] of this.#resources) digest.add(id, hash64(bytesOf(resource.bytes)));
    this.#digest = digest;
  }

  /** Compares buckets from `from` to `until` - 1 with the bytes held. Those that differed are corrected, and returned. */
  auditDigest(from: number, until: number): number[] {
    const right = new Digest();
    for (const [id, { bytes }] of this.#resources) {
      const bucket = bucketOf(id);
      if (bucket >= from && bucket < until) right.add(id, hash64(bytesOf(bytes)));
    }
    const corrected: number[] = [];
    for (let bucket = from; bucket < until; bucket++) if (this.#digest.correct(bucket, right)) corrected.push(bucket);
    return corrected;
  }

  /** Sums of all buckets in order. */
  bucketSums(): bigint[] {
    return Array.from({ length: digestBuckets }, (_, i) => this.#digest.bucket(i));
  }

  /** Ids and hashes of what is held in these buckets. The first call reads all ids and keeps them by bucket for the next. */
  hashesIn(buckets: Iterable<number>): { readonly id: ResourceId; readonly hash: bigint }[] {
    const found: { readonly id: ResourceId; readonly hash: bigint }[] = [];
    for (const bucket of new Set(buckets)) {
      this.#idsByBucket ??= this.#readBuckets();
      for (const id of this.#idsByBucket[bucket] ?? []) {
        const held = this.#resources.get(id);
        if (held !== undefined) found.push({ id, hash: hashToBigint(hash64(bytesOf(held.bytes))) });
      }
    }
    return found;
  }

  /** Whether ids are kept by bucket. */
  get hasBuckets(): boolean {
    return this.#idsByBucket !== undefined;
  }

  /** Nobody asks any more. */
  forgetBuckets(): void {
    this.#idsByBucket = undefined;
  }

  #readBuckets(): readonly ResourceId[][] {
    const ids: readonly ResourceId[][] = Array.from({ length: digestBuckets }, () => []);
    for (const id of this.#resources.keys()) ids[bucketOf(id)]?.push(id);
    return ids;
  }

  #collectRemoval(id: ResourceId, listed: ReadonlySet<ResourceId>, into: Set<ResourceId>): void {
    if (listed.has(id)) return;
    into.add(id);
    if (this.#resources.get(id)?.kind !== "service") return;
    for (const member of this.#members.get(id)?.backends.keys() ?? []) if (!listed.has(member)) into.add(member);
  }

  #remove(id: ResourceId, touched: Set<string>): HeldResource | undefined {
    const held = this.#resources.get(id);
    if (held === undefined) return undefined;
    this.#resources.delete(id);
    this.forgetBuckets();
    this.#digest.remove(id, hash64(bytesOf(held.bytes)));
    this.#unindex(id, held, touched);
    return held;
  }

  #put(id: ResourceId, resource: HeldResource, touched: Set<string>): boolean {
    const before = this.#resources.get(id);
    if (before?.bytes === resource.bytes) return false;
    if (before !== undefined) {
      this.#digest.remove(id, hash64(bytesOf(before.bytes)));
      this.#unindex(id, before, touched);
    }
    this.#resources.set(id, resource);
    if (before === undefined) this.forgetBuckets();
    this.#digest.add(id, hash64(bytesOf(resource.bytes)));
    this.#index(id, resource, touched);
    return true;
  }

  #index(id: ResourceId, resource: HeldResource, touched: Set<string>): void {
    this.#counts[resource.kind]++;
    if (resource.kind === "service") {
      this.#membership(id).name = resource.name;
      this.#idsByName.set(resource.name, id);
      touched.add(resource.name);
    } else if (resource.kind === "backend") {
      const members = this.#membership(resource.service);
      members.backends.set(id, resource);
      if (members.name !== undefined) touched.add(members.name);
    }
  }

  #unindex(id: ResourceId, resource: HeldResource, touched: Set<string>): void {
    this.#counts[resource.kind]--;
    const owner = resource.kind === "backend" ? resource.service : id;
    const members = this.#members.get(owner);
    if (members === undefined) return;
    if (members.name !== undefined) touched.add(members.name);
    if (resource.kind === "service") {
      members.name = undefined;
      members.decoded = undefined;
      if (this.#idsByName.get(resource.name) === id) this.#idsByName.delete(resource.name);
    } else {
      members.backends.delete(id);
    }
    if (members.name === undefined && members.backends.size === 0) this.#members.delete(owner);
  }

  #membership(service: ResourceId): Membership {
    const found = this.#members.get(service);
    if (found !== undefined) return found;
    const made: Membership = { name: undefined, decoded: undefined, backends: new Map() };
    this.#members.set(service, made);
    return made;
  }
}

// A Service stays: its addresses are views of the bytes, which must not be a slice of Node's buffer pool.
function decodeService(held: HeldResource): Service {
  const { kind } = fromBinary(ResourceSchema, new Uint8Array(bytesOf(held.bytes)));
  if (kind.case !== "service") throw new TypeError(`held as a service: ${kind.case}`);
  return kind.value;
}

function* decodeBackends(held: Iterable<HeldResource>): Generator<Backend, undefined> {
  for (const one of held) yield decodeBackend(one);
}

function decodeBackend(held: HeldResource): Backend {
  const plain = plainBackend(held.bytes);
  if (plain !== undefined) return plain.backend;
  const { kind } = fromBinary(ResourceSchema, bytesOf(held.bytes));
  if (kind.case !== "backend") throw new TypeError(`held as a backend: ${kind.case}`);
  return kind.value;
}
