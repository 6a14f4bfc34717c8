/**
 * The catalog: every resource with the revision that last touched it. "Everything since R" is a walk from the newest
 * element: O(changes), conflated by construction, without a queue per agent.
 *
 * Invariants:
 * 1. A resource is live or a tombstone or unknown, never two of these.
 * 2. The answer to a cursor at or above `floor` is exact. Below it tombstones may be missing: "compacted".
 * 3. A live backend's service is live. A removed service's backends are removed in the same commit.
 * 4. Bytes of a resource are never changed in place: whoever holds a reference to them may keep it.
 */
import { isSameEpoch, nextRevision, revisionZero } from "@weft/proto/cursor.ts";
import type { Cursor, Epoch, Revision } from "@weft/proto/cursor.ts";
import { Digest } from "@weft/proto/digest.ts";
import type { ResourceId, ResourceKind } from "@weft/proto/ids.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import { CatalogError } from "./catalog-error.ts";
import type { CatalogLimits } from "./catalog-limits.ts";
import { tombstoneBytes } from "./catalog-limits.ts";
import type { Commit, CompiledChanges, CompiledResource } from "./resource.ts";
import { RevisionList } from "./revision-list.ts";
import type { Linked } from "./revision-list.ts";
import { TriggerHistory } from "./trigger-history.ts";

/** Operations that lead from one revision to another. */
export interface Operations {
  readonly kind: "operations";
  readonly from: Revision;
  readonly to: Revision;
  readonly puts: readonly CompiledResource[];
  /** Backends of a service that is itself listed are implied. May name what a reader that saw an earlier removal lacks. */
  readonly removed: readonly ResourceId[];
  /** What triggered these revisions, as far as it is known. */
  readonly triggers: TriggerTimes;
}

export type Since =
  | Operations
  /** The history does not reach back to the cursor. */
  | { readonly kind: "compacted" }
  | { readonly kind: "other-epoch" }
  /** A revision that this epoch does not have yet. */
  | { readonly kind: "future" };

/** What differs between a revision and the head. */
export interface Touched {
  readonly puts: readonly CompiledResource[];
  /** Every one, also of backends whose service is removed. */
  readonly removed: readonly ResourceId[];
}

/** Sizes, for metrics. */
export interface CatalogSizes {
  readonly resources: number;
  readonly services: number;
  readonly backends: number;
  readonly names: number;
  /** Bytes of the encoded live resources. */
  readonly bytes: number;
  readonly tombstones: number;
  /** Bytes that tombstones are counted with. */
  readonly historyBytes: number;
  /** Revisions that an agent can resume from. */
  readonly historyRevisions: number;
}

interface Live extends Linked<Live> {
  readonly kind: "live";
  resource: CompiledResource;
  /** A cursor from here on may hold the id: it was live at this revision or, if removed and added since, earlier. */
  readonly born: Revision;
  /** Live backends, if this is a service. */
  backends: number;
}

interface Tombstone extends Linked<Tombstone> {
  readonly kind: "tombstone";
  readonly id: ResourceId;
  /** The service of a removed backend. */
  readonly service: ResourceId | undefined;
  readonly born: Revision;
}

export class Catalog {
  readonly limits: CatalogLimits;
  readonly #entries = new Map<ResourceId, Live | Tombstone>();
  readonly #live = new RevisionList<Live>();
  readonly #tombstones = new RevisionList<Tombstone>();
  readonly #triggers = new TriggerHistory();
  readonly #digest = new Digest();
  readonly #counts = { service: 0, backend: 0, name: 0 };
  // Backends of services buried in the commit that is being applied, while some of them are still live.
  readonly #backendsLeft = new Map<ResourceId, number>();
  #epoch: Epoch;
  #head: Revision = revisionZero;
  #floor: Revision = revisionZero;
  #bytes = 0;
  #root = 0n;

  constructor(epoch: Epoch, limits: CatalogLimits) {
    this.#epoch = epoch;
    this.limits = limits;
  }

  get epoch(): Epoch {
    return this.#epoch;
  }

  /** Revision of the last commit; 0 before the first. */
  get head(): Revision {
    return this.#head;
  }

  /** Cursors of this epoch at or above are answered with operations. */
  get floor(): Revision {
    return this.#floor;
  }

  /** Root digest of the head. */
  get root(): bigint {
    return this.#root;
  }

  /** Services at the head. */
  get services(): number {
    return this.#counts.service;
  }

  /** Sum of one of the 1,024 digest buckets at the head. */
  bucket(index: number): bigint {
    return this.#digest.bucket(index);
  }

  get sizes(): CatalogSizes {
    return {
      resources: this.#live.length,
      services: this.#counts.service,
      backends: this.#counts.backend,
      names: this.#counts.name,
      bytes: this.#bytes,
      tombstones: this.#tombstones.length,
      historyBytes: this.#tombstones.length * tombstoneBytes,
      historyRevisions: this.#head - this.#floor,
    };
  }

  get(id: ResourceId): CompiledResource | undefined {
    const entry = this.#entries.get(id);
    return entry?.kind === "live" ? entry.resource : undefined;
  }

  /** All live resources, names and services before backends. References only: later commits do not change them. */
  snapshot(): readonly CompiledResource[] {
    return inReadingOrder(Array.from(this.#live, (entry) => entry.resource));
  }

  /** The same content is now a history of another name: cursors of the old epoch are void, revisions go on. */
  rename(epoch: Epoch): void {
    this.#epoch = epoch;
  }

  /**
   * What these changes would commit, without committing. Undefined if nothing differs, except before the first commit:
   * revision 1 exists even if it is empty, so that agents of an empty cluster have a cursor.
   * A put wins over a removal of the same id. @throws CatalogError if two names have one id.
   */
  draft(changes: CompiledChanges): Commit | undefined {
    const wanted = new Map<ResourceId, CompiledResource>();
    for (const put of changes.puts) {
      const other = wanted.get(put.id) ?? this.get(put.id);
      if (other !== undefined && other.name !== put.name) throw CatalogError.idTaken(put, other);
      wanted.set(put.id, put);
    }
    const puts: CompiledResource[] = [];
    const replaced = new Map<ResourceId, CompiledResource>();
    for (const put of wanted.values()) {
      const current = this.get(put.id);
      if (current !== undefined) {
        if (current.body === put.body) continue;
        replaced.set(put.id, current);
      }
      puts.push(put);
    }
    const removals = new Map<ResourceId, CompiledResource>();
    for (const id of changes.removals) {
      const current = this.get(id);
      if (current !== undefined && !wanted.has(id)) removals.set(id, current);
    }
    if (puts.length === 0 && removals.size === 0 && this.#head !== revisionZero) return undefined;
    const revision = nextRevision(this.#head);
    return { revision, puts, removals: [...removals.values()], replaced, triggers: changes.triggers ?? noTriggers };
  }

  /** @throws CatalogError if `commit` does not follow the head, or would break an invariant of backends and services. */
  apply(commit: Commit): void {
    if (commit.revision !== this.#head + 1) throw CatalogError.notNext(commit.revision, this.#head);
    this.#head = commit.revision;
    for (const removal of commit.removals) this.#bury(removal);
    // Services first: a backend is counted at its service.
    for (const put of commit.puts) if (put.kind !== "backend") this.#put(put);
    for (const put of commit.puts) if (put.kind === "backend") this.#put(put);
    for (const removal of commit.removals) this.#refuseOrphans(removal);
    this.#root = this.#digest.root;
    this.#triggers.add(commit.revision, commit.triggers);
    this.#compact();
  }

  /** Makes `commit` the head of an empty catalog, whatever its revision: all there is, without what led to it. */
  start(commit: Commit): void {
    this.#head = (commit.revision - 1) as Revision;
    this.apply(commit);
    this.#floor = this.#head;
  }

  /** What an agent at `cursor` lacks. At the head both lists are empty. */
  since(cursor: Cursor): Since {
    if (!isSameEpoch(cursor.epoch, this.#epoch)) return { kind: "other-epoch" };
    if (cursor.revision > this.#head) return { kind: "future" };
    if (cursor.revision < this.#floor) return { kind: "compacted" };
    const puts = inReadingOrder(Array.from(this.#live.since(cursor.revision), (entry) => entry.resource));
    const removed: ResourceId[] = [];
    for (const entry of this.#tombstones.since(cursor.revision)) {
      if (this.#mustName(entry, cursor.revision)) removed.push(entry.id);
    }
    const triggers = this.#triggers.since(cursor.revision);
    return { kind: "operations", from: cursor.revision, to: this.#head, puts, removed, triggers };
  }

  /** What whoever holds exactly the content of `from` lacks. Undefined: the history does not reach back to it. */
  touchedSince(from: Revision): Touched | undefined {
    if (from < this.#floor || from > this.#head) return undefined;
    const puts = Array.from(this.#live.since(from), (entry) => entry.resource);
    const removed: ResourceId[] = [];
    for (const { id, born } of this.#tombstones.since(from)) if (born <= from) removed.push(id);
    return { puts, removed };
  }

  /**
   * The live resources that no revision after `at` touched, of so many entries at a time. It may be read on while commits are
   * applied: what they touch before it is read is left out, and is in `touchedSince(at)`.
   */
  *untouchedSince(at: Revision, entriesPerSlice: number): Generator<readonly CompiledResource[], undefined> {
    // Entries that are added meanwhile come last, and are newer.
    const entriesMax = this.#entries.size;
    let visited = 0;
    let slice: CompiledResource[] = [];
    for (const entry of this.#entries.values()) {
      if (visited === entriesMax) break;
      visited++;
      if (entry.kind === "live" && entry.revision <= at) slice.push(entry.resource);
      if (visited % entriesPerSlice !== 0) continue;
      yield slice;
      slice = [];
    }
    if (slice.length > 0) yield slice;
  }

  // A reader at `from` may hold it, and no removal in the same answer implies it. A service that was removed and added again is
  // live, so its old backends are named.
  #mustName(tombstone: Tombstone, from: Revision): boolean {
    if (tombstone.born > from) return false;
    if (tombstone.service === undefined) return true;
    const service = this.#entries.get(tombstone.service);
    const isImplied = service?.kind === "tombstone" && service.revision > from && service.born <= from;
    return !isImplied;
  }

  #put(resource: CompiledResource): void {
    const entry = this.#entries.get(resource.id);
    if (entry?.kind === "live") {
      this.#forget(entry.resource);
      this.#live.remove(entry);
      entry.resource = resource;
      entry.revision = this.#head;
      this.#live.append(entry);
    } else {
      if (entry !== undefined) this.#tombstones.remove(entry);
      const born = entry?.born ?? this.#head;
      const live: Live = {
        kind: "live",
        resource,
        revision: this.#head,
        born,
        backends: 0,
        previous: undefined,
        next: undefined,
      };
      this.#entries.set(resource.id, live);
      this.#live.append(live);
    }
    this.#digest.add(resource.id, resource.hash);
    this.#bytes += resource.bytesLength;
    this.#counts[resource.kind]++;
    if (resource.service === undefined) return;
    const service = this.#entries.get(resource.service);
    if (service?.kind !== "live") throw CatalogError.orphan(resource);
    service.backends++;
  }

  #bury(resource: CompiledResource): void {
    const entry = this.#entries.get(resource.id);
    if (entry?.kind !== "live") throw CatalogError.notLive(resource);
    this.#forget(entry.resource);
    this.#live.remove(entry);
    const tombstone: Tombstone = {
      kind: "tombstone",
      id: resource.id,
      service: resource.service,
      born: entry.born,
      revision: this.#head,
      previous: undefined,
      next: undefined,
    };
    // A service may be buried before its backends.
    if (entry.backends > 0) this.#backendsLeft.set(resource.id, entry.backends);
    this.#entries.set(resource.id, tombstone);
    this.#tombstones.append(tombstone);
  }

  #refuseOrphans(removed: CompiledResource): void {
    const left = this.#backendsLeft.get(removed.id);
    if (left !== undefined) throw CatalogError.backendsLeft(removed, left);
  }

  // Takes a live resource out of every sum.
  #forget(resource: CompiledResource): void {
    this.#digest.remove(resource.id, resource.hash);
    this.#bytes -= resource.bytesLength;
    this.#counts[resource.kind]--;
    const id = resource.service;
    if (id === undefined) return;
    const service = this.#entries.get(id);
    if (service?.kind === "live") service.backends--;
    const left = this.#backendsLeft.get(id);
    if (left === undefined) return;
    if (left === 1) this.#backendsLeft.delete(id);
    else this.#backendsLeft.set(id, left - 1);
  }

  #compact(): void {
    const limits = this.limits;
    const oldestKept = this.#head - limits.historyRevisionsMax;
    if (oldestKept > this.#floor) this.#floor = oldestKept as Revision;
    const tombstonesMax = Math.floor(limits.historyBytesMax / tombstoneBytes);
    for (let oldest = this.#tombstones.oldest; oldest !== undefined; oldest = this.#tombstones.oldest) {
      if (oldest.revision > this.#floor && this.#tombstones.length <= tombstonesMax) break;
      // Whoever is below the revision of a forgotten removal would keep what was removed.
      if (oldest.revision > this.#floor) this.#floor = oldest.revision;
      this.#tombstones.remove(oldest);
      this.#entries.delete(oldest.id);
    }
  }
}

/** Names, services, backends: whoever reads along can resolve every reference. */
export function inReadingOrder(resources: readonly CompiledResource[]): readonly CompiledResource[] {
  const byKind: Record<ResourceKind, CompiledResource[]> = { name: [], service: [], backend: [] };
  for (const resource of resources) byKind[resource.kind].push(resource);
  return [...byKind.name, ...byKind.service, ...byKind.backend];
}
