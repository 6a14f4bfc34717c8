/**
 * What this agent holds: resources with their bytes exactly as received, their digest, and the backends of each service.
 * Changes only by `commit`, as one step. Bodies are decoded when a service is planned, not kept decoded: see held-resources.ts.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { bucketOf, Digest, digestBuckets } from "@weft/proto/digest.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Backend, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { hash64, hashToBigint } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { PlanInput, ServiceView } from "../plan/plan-input.ts";
import { HeldResources } from "./held-resources.ts";
import type { BytesAt, Owner } from "./held-resources.ts";
import { noSlot } from "./id-table.ts";
import { plainBackendAt } from "./plain-backend.ts";
import { plainEndpoints } from "./plain-endpoints.ts";
import { readResource } from "./received-resource.ts";
import type { HeldResource, ReceivedPart } from "./received-resource.ts";

/** Of an audit. */
export interface AuditedService {
  /** Undefined: there is no such service. */
  readonly view: ServiceView | undefined;
  /** How many backends it has. */
  readonly backends: number;
  /** What planning reads of it is what is held. */
  readonly isIndexed: boolean;
}

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

interface NamedService {
  readonly id: ResourceId;
  /** Once it was asked for. */
  decoded: Service | undefined;
}

/** To read only. */
export type ReadonlyResources = Pick<HeldResources, "size" | "get" | "has" | "keys" | "copy" | typeof Symbol.iterator>;

export class Store implements PlanInput {
  #resources: HeldResources;
  readonly #services = new Map<string, NamedService>();
  #digest: Digest;
  // Ids of each digest bucket, while somebody asks for them: 8 bytes a resource and what arrays have to spare, 4 MB for 250,000.
  #idsByBucket: readonly ResourceId[][] | undefined;

  /** @param saved what it holds from the start; it is this store's from now on, and `digest` is believed */
  constructor(saved?: { readonly resources: HeldResources; readonly digest: Digest }) {
    this.#resources = saved?.resources ?? new HeldResources();
    this.#digest = saved?.digest ?? new Digest();
    this.#readServices();
  }

  /** Root digest of what is held. */
  get digest(): bigint {
    return this.#digest.root;
  }

  get counts(): StoreCounts {
    const { service, backend, name, unknown } = this.#resources.counts;
    return { services: service, backends: backend, names: name, unknown };
  }

  /** Resources held, of every kind. */
  get size(): number {
    return this.#resources.size;
  }

  /** Everything held. */
  resources(): ReadonlyResources {
    return this.#resources;
  }

  serviceNames(): IterableIterator<string> {
    return this.#services.keys();
  }

  /**
   * `name` is "namespace/name". The Service is one object for as long as its bytes stay; backends are decoded each time they are
   * iterated over.
   */
  serviceByName(name: string): ServiceView | undefined {
    const named = this.#services.get(name);
    const owner = named && this.#resources.owner(named.id);
    if (named === undefined || owner === undefined) return undefined;
    named.decoded ??= decodeService(this.#resources.viewAt(this.#resources.slotOf(named.id)));
    return {
      service: named.decoded,
      backends: { [Symbol.iterator]: () => this.#decodeBackends(owner) },
      plainEndpoints: (port, node) => plainEndpoints(this.#resources, owner, port, node),
    };
  }

  hasService(name: string): boolean {
    const named = this.#services.get(name);
    return named !== undefined && this.#isService(named.id);
  }

  /** For an audit: a service from nothing but its bytes, kept nowhere. */
  auditService(name: string): AuditedService {
    const named = this.#services.get(name);
    if (named === undefined) return { view: undefined, backends: 0, isIndexed: true };
    const owner = this.#resources.owner(named.id);
    const slot = this.#resources.slotOf(named.id);
    if (owner?.name !== name || this.#resources.kindAt(slot) !== "service")
      return { view: undefined, backends: 0, isIndexed: false };
    const service = decodeService(this.#resources.viewAt(slot));
    let backends = 0;
    let isIndexed = service.name === name;
    for (const backend of this.#resources.backendsOf(owner)) {
      backends++;
      if (this.#resources.kindAt(backend) !== "backend" || this.#resources.ownerAt(backend) !== owner)
        isIndexed = false;
    }
    // Without the short way: so that is audited, too.
    const view = { service, backends: { [Symbol.iterator]: () => this.#decodeBackends(owner) } };
    return { view, backends, isIndexed };
  }

  /**
   * For an audit, of one resource after the other: the service, "ns/name" or "" if it is not held, that does not find it. Undefined: it
   * does. Everything may change between two.
   */
  *unindexed(): Generator<string | undefined, undefined> {
    for (let slot = 0; slot < this.#resources.end; slot++)
      yield this.#resources.isIndexed(slot) ? undefined : (this.#resources.ownerAt(slot)?.name ?? "");
  }

  /** Makes anew what is planned from, from nothing but bytes. */
  reindex(): void {
    const anew = new HeldResources();
    for (const slot of this.#resources.slots()) {
      const reading = readResource(this.#resources.viewAt(slot));
      anew.set(this.#resources.idAt(slot), reading.kind === "resource" ? reading.resource : this.#resources.at(slot));
    }
    this.#resources = anew;
    this.#services.clear();
    this.#readServices();
    this.forgetBuckets();
  }

  /** The Service is decoded again when it is asked for. */
  forgetDecoded(name: string): void {
    const named = this.#services.get(name);
    if (named !== undefined) named.decoded = undefined;
  }

  /** How many of the services held would be gone after a commit of these parts. */
  servicesRemovedBy(parts: readonly ReceivedPart[], pruning: Pruning): number {
    let kept = 0;
    let removed = 0;
    const seen = new Set<ResourceId>();
    for (const part of parts) {
      for (const id of part.puts.keys()) {
        if (seen.has(id) || !this.#isService(id)) continue;
        seen.add(id);
        kept++;
      }
    }
    if (pruning === "everything-unlisted") return this.#resources.counts.service - kept;
    for (const part of parts) {
      for (const id of part.removed) {
        if (seen.has(id) || !this.#isService(id)) continue;
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
      const kind = this.#remove(id, touched);
      if (kind === undefined) continue;
      removed.push(id);
      changes[kind]++;
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
        if (!this.#isService(id)) continue;
        for (const member of this.#backendIds(id)) if (isStray(member)) stray = member;
      }
    }
    if (stray === undefined) return undefined;
    return `a repair touches resource ${stray.toString(16)} of bucket ${bucketOf(stray)}, which it does not name`;
  }

  /** Sums the digest anew from the bytes: a comparison is of what is held, not of what was once counted. */
  recount(): void {
    const digest = new Digest();
    for (const slot of this.#resources.slots()) this.#addHash(digest, slot);
    this.#digest = digest;
  }

  /** Compares buckets from `from` to `until` - 1 with the bytes held. Those that differed are corrected, and returned. */
  auditDigest(from: number, until: number): number[] {
    const right = new Digest();
    for (const slot of this.#resources.slots()) {
      const bucket = this.#bucketAt(slot);
      if (bucket >= from && bucket < until) this.#addHash(right, slot);
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
        const slot = this.#resources.slotOf(id);
        if (slot !== noSlot) found.push({ id, hash: hashToBigint(hash64(this.#resources.viewAt(slot))) });
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

  #readServices(): void {
    for (const { id, name } of this.#resources.owners()) {
      if (name !== undefined) this.#services.set(name, { id, decoded: undefined });
    }
  }

  #readBuckets(): readonly ResourceId[][] {
    const ids: readonly ResourceId[][] = Array.from({ length: digestBuckets }, () => []);
    for (const id of this.#resources.keys()) ids[bucketOf(id)]?.push(id);
    return ids;
  }

  #collectRemoval(id: ResourceId, listed: ReadonlySet<ResourceId>, into: Set<ResourceId>): void {
    if (listed.has(id)) return;
    into.add(id);
    if (!this.#isService(id)) return;
    for (const member of this.#backendIds(id)) if (!listed.has(member)) into.add(member);
  }

  #remove(id: ResourceId, touched: Set<string>): HeldResource["kind"] | undefined {
    const slot = this.#resources.slotOf(id);
    if (slot === noSlot) return undefined;
    const kind = this.#resources.kindAt(slot);
    this.#forget(slot, touched);
    this.#resources.delete(id);
    this.forgetBuckets();
    return kind;
  }

  #put(id: ResourceId, resource: HeldResource, touched: Set<string>): boolean {
    const slot = this.#resources.slotOf(id);
    if (slot === noSlot) this.forgetBuckets();
    else if (this.#resources.at(slot).bytes === resource.bytes) return false;
    else this.#forget(slot, touched);
    this.#resources.set(id, resource);
    const put = this.#resources.slotOf(id);
    this.#addHash(this.#digest, put);
    if (resource.kind === "service") this.#services.set(resource.name, { id, decoded: undefined });
    this.#touch(put, touched);
    return true;
  }

  // What it says is about to be replaced or removed.
  #forget(slot: number, touched: Set<string>): void {
    const id = this.#resources.idAt(slot);
    this.#digest.remove(id, hash64(this.#resources.viewAt(slot)));
    this.#touch(slot, touched);
    const held = this.#resources.at(slot);
    if (held.kind === "service" && this.#services.get(held.name)?.id === id) this.#services.delete(held.name);
  }

  #touch(slot: number, touched: Set<string>): void {
    const name = this.#resources.ownerAt(slot)?.name;
    if (name !== undefined) touched.add(name);
  }

  #addHash(digest: Digest, slot: number): void {
    digest.addTo(this.#bucketAt(slot), hash64(this.#resources.viewAt(slot)));
  }

  #bucketAt(slot: number): number {
    return this.#resources.idLowAt(slot) % digestBuckets;
  }

  #isService(id: ResourceId): boolean {
    return this.#resources.kindAt(this.#resources.slotOf(id)) === "service";
  }

  #backendIds(service: ResourceId): readonly ResourceId[] {
    const owner = this.#resources.owner(service);
    return owner === undefined ? [] : this.#resources.backendsOf(owner).map((slot) => this.#resources.idAt(slot));
  }

  #decodeBackends(owner: Owner): Iterator<Backend> {
    return this.#resources
      .backendsOf(owner)
      .map((slot) => decodeBackend(this.#resources.bytesAt(slot)))
      .values();
  }
}

// A Service stays: its addresses are views of the bytes, which must not be those of everything else.
function decodeService(bytes: Uint8Array): Service {
  const { kind } = fromBinary(ResourceSchema, new Uint8Array(bytes));
  if (kind.case !== "service") throw new TypeError(`held as a service: ${kind.case}`);
  return kind.value;
}

function decodeBackend(at: BytesAt): Backend {
  const plain = plainBackendAt(at);
  if (plain !== undefined) return plain.backend;
  const { kind } = fromBinary(ResourceSchema, new Uint8Array(at.bytes.subarray(at.start, at.end)));
  if (kind.case !== "backend") throw new TypeError(`held as a backend: ${kind.case}`);
  return kind.value;
}
