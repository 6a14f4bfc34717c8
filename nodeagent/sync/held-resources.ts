/**
 * Everything held, in columns: a Map of 250,000 objects, ids and strings would be four times as large, and most of the time of an
 * agent's start. Each resource has a slot; slots of backends are chained by the service that they name. Pure.
 */
import type { ResourceId } from "@weft/proto/ids.ts";
import { ByteChunks, startOf } from "./byte-chunks.ts";
import type { ByteChunk } from "./byte-chunks.ts";
import { grown, highOf, IdTable, lowOf, noSlot } from "./id-table.ts";
import type { KeptBytes } from "./kept-bytes.ts";
import type { HeldResource } from "./received-resource.ts";

/** By number, in columns and on disk. */
export const resourceKinds: readonly HeldResource["kind"][] = ["unknown", "service", "backend", "name"];
export const serviceKind = resourceKinds.indexOf("service");
export const backendKind = resourceKinds.indexOf("backend");

/** Bytes of what is gone that are worth a move of the rest. */
const wasteMin = 1 << 20;

/** A service, or what backends of one that is not held name. */
export interface Owner {
  readonly id: ResourceId;
  /** Undefined: the service is not held. */
  name: string | undefined;
  /** Slot of its first backend; -1: it has none. */
  first: number;
}

/** Where the encoded bytes of a resource are. Valid until something is put. */
export interface BytesAt extends ByteChunk {
  readonly start: number;
  readonly end: number;
}

/** A resource that is put without making a value of it first. */
export interface EncodedPut {
  readonly idLow: number;
  readonly idHigh: number;
  /** Index in `resourceKinds`. */
  readonly kind: number;
  /** Of a service; else "". */
  readonly name: string;
  /** Of a backend; else 0. */
  readonly serviceLow: number;
  readonly serviceHigh: number;
  /** Its encoded bytes in `from`. */
  readonly from: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export class HeldResources {
  #ids = new IdTable();
  #kinds = new Uint8Array();
  /** Of a backend and of a service: index in `#owners`. */
  #ownerOf = new Int32Array();
  #nextOf = new Int32Array();
  #previousOf = new Int32Array();
  #placeOf = new Uint32Array();
  #lengthOf = new Uint32Array();
  /** From here on no slot was ever used. */
  #end = 0;
  readonly #freeSlots: number[] = [];
  #owners: (Owner | undefined)[] = [];
  readonly #freeOwners: number[] = [];
  readonly #ownersById = new Map<ResourceId, number>();
  // Backends of one service come together.
  #lastOwner = { low: 0, high: 0, index: noSlot };
  readonly #counts = { service: 0, backend: 0, name: 0, unknown: 0 };
  #bytes = new ByteChunks();
  #liveBytes = 0;
  #deadBytes = 0;

  constructor(resources: Iterable<readonly [ResourceId, HeldResource]> = []) {
    for (const [id, resource] of resources) this.set(id, resource);
  }

  get size(): number {
    return this.#ids.size;
  }

  get counts(): Readonly<Record<HeldResource["kind"], number>> {
    return this.#counts;
  }

  /** Makes room for this many before the first is put: else room is made, and filled again, more than ten times. */
  reserve(count: number): void {
    this.#grow(count);
    this.#ids.reserve(count);
  }

  has(id: ResourceId): boolean {
    return this.slotOf(id) !== noSlot;
  }

  get(id: ResourceId): HeldResource | undefined {
    const slot = this.slotOf(id);
    return slot === noSlot ? undefined : this.at(slot);
  }

  set(id: ResourceId, resource: HeldResource): void {
    const { kind, bytes } = resource;
    const slot = this.#put(lowOf(id), highOf(id), resourceKinds.indexOf(kind), bytes.length);
    const { bytes: into, start } = this.bytesAt(slot);
    into.write(bytes, start, "latin1");
    if (kind === "service") this.#own(slot, resource.name);
    else if (kind === "backend") this.#join(slot, lowOf(resource.service), highOf(resource.service));
  }

  setEncoded({ idLow, idHigh, kind, name, serviceLow, serviceHigh, from, start, end }: EncodedPut): void {
    const slot = this.#put(idLow, idHigh, kind, end - start);
    const into = this.bytesAt(slot);
    // A copy of so few bytes is faster than a view of them.
    for (let i = start, at = into.start; i < end; i++, at++) into.bytes[at] = from[i] ?? 0;
    if (kind === serviceKind) this.#own(slot, name);
    else if (kind === backendKind) this.#join(slot, serviceLow, serviceHigh);
  }

  delete(id: ResourceId): boolean {
    const slot = this.slotOf(id);
    if (slot === noSlot) return false;
    this.#leave(slot);
    this.#ids.remove(slot);
    this.#freeSlots.push(slot);
    return true;
  }

  *keys(): Generator<ResourceId, undefined> {
    for (const slot of this.slots()) yield this.#ids.id(slot);
  }

  *[Symbol.iterator](): Generator<readonly [ResourceId, HeldResource], undefined> {
    for (const slot of this.slots()) yield [this.#ids.id(slot), this.at(slot)];
  }

  /** All as they are now, to be read once while they change: 25 bytes each. */
  copy(): Iterable<readonly [ResourceId, HeldResource]> {
    const copy = new HeldResources();
    copy.#ids = this.#ids.copy(this.#end);
    copy.#kinds = this.#kinds.slice(0, this.#end);
    copy.#ownerOf = this.#ownerOf.slice(0, this.#end);
    copy.#placeOf = this.#placeOf.slice(0, this.#end);
    copy.#lengthOf = this.#lengthOf.slice(0, this.#end);
    copy.#owners = this.#owners.map((owner) => owner && { ...owner });
    copy.#bytes = this.#bytes.copy();
    copy.#end = this.#end;
    return copy;
  }

  /** Of all resources. Nothing may be put or deleted meanwhile. */
  *slots(): Generator<number, undefined> {
    for (let slot = 0; slot < this.#end; slot++) if (this.#ids.isListed(slot)) yield slot;
  }

  /** One more than the last slot that was ever used. */
  get end(): number {
    return this.#end;
  }

  /** For an audit: a service has its owner, a backend is in the chain of its own. Of anything else: true. */
  isIndexed(slot: number): boolean {
    const kind = this.#kinds[slot];
    if (!this.#ids.isListed(slot) || (kind !== serviceKind && kind !== backendKind)) return true;
    const owner = this.ownerAt(slot);
    if (owner === undefined) return false;
    if (kind === serviceKind) return owner.name !== undefined && owner.id === this.#ids.id(slot);
    const previous = this.#previousOf[slot] ?? noSlot;
    return previous === noSlot ? owner.first === slot : this.#nextOf[previous] === slot;
  }

  /** -1: not held. */
  slotOf(id: ResourceId): number {
    return this.#ids.find(lowOf(id), highOf(id));
  }

  /** The same by the halves of an id. */
  slotOfHalves(low: number, high: number): number {
    return this.#ids.find(low, high);
  }

  idAt(slot: number): ResourceId {
    return this.#ids.id(slot);
  }

  /** Low 32 bits. */
  idLowAt(slot: number): number {
    return this.#ids.low(slot);
  }

  /** Also of -1: undefined. */
  kindAt(slot: number): HeldResource["kind"] | undefined {
    return resourceKinds[this.#kinds[slot] ?? noSlot];
  }

  at(slot: number): HeldResource {
    const kind = resourceKinds[this.#kinds[slot] ?? 0] ?? "unknown";
    const { bytes: chunk, start, end } = this.bytesAt(slot);
    const bytes = chunk.toString("latin1", start, end) as KeptBytes;
    if (kind === "backend") return { kind, bytes, service: this.#ownerAt(slot).id };
    if (kind === "service") return { kind, bytes, name: this.#ownerAt(slot).name ?? "" };
    return { kind, bytes };
  }

  bytesAt(slot: number): BytesAt {
    const place = this.#placeOf[slot] ?? 0;
    const { bytes, view } = this.#bytes.chunkOf(place);
    const start = startOf(place);
    return { bytes, view, start, end: start + (this.#lengthOf[slot] ?? 0) };
  }

  /** A view, valid until something is put. */
  viewAt(slot: number): Uint8Array {
    const { bytes, start, end } = this.bytesAt(slot);
    return bytes.subarray(start, end);
  }

  /** Undefined: neither such a service nor a backend that names it is held. */
  owner(service: ResourceId): Owner | undefined {
    return this.#owners[this.#ownersById.get(service) ?? noSlot];
  }

  /** Of a backend or a service; undefined of anything else. */
  ownerAt(slot: number): Owner | undefined {
    const kind = this.#kinds[slot];
    return kind === serviceKind || kind === backendKind ? this.#owners[this.#ownerOf[slot] ?? noSlot] : undefined;
  }

  /** Services held, and those that only backends name. */
  *owners(): Generator<Owner, undefined> {
    for (const owner of this.#owners) if (owner !== undefined) yield owner;
  }

  /** Slots of the backends of a service. */
  backendsOf({ first }: Owner): readonly number[] {
    // A generator would take longer than reading what it leads to.
    const slots: number[] = [];
    for (let slot = first; slot !== noSlot; slot = this.#nextOf[slot] ?? noSlot) slots.push(slot);
    return slots;
  }

  /** Reads the encoded bytes of each backend of a service until `read` says no. True: it never did. Nothing may be put meanwhile. */
  eachBackend({ first }: Owner, read: (bytes: Buffer, start: number, end: number) => boolean): boolean {
    for (let slot = first; slot !== noSlot; slot = this.#nextOf[slot] ?? noSlot) {
      const place = this.#placeOf[slot] ?? 0;
      const start = startOf(place);
      if (!read(this.#bytes.chunkOf(place).bytes, start, start + (this.#lengthOf[slot] ?? 0))) return false;
    }
    return true;
  }

  #ownerAt(slot: number): Owner {
    const owner = this.ownerAt(slot);
    if (owner === undefined) throw new Error(`slot ${slot} has no owner`);
    return owner;
  }

  // A slot with room for its bytes, which the caller writes; then it is owned or joined. What it held before is gone.
  #put(low: number, high: number, kind: number, length: number): number {
    let slot = this.#ids.find(low, high);
    if (slot !== noSlot) this.#leave(slot);
    else {
      slot = this.#freeSlots.pop() ?? this.#end++;
      if (slot >= this.#kinds.length) this.#grow(grown(slot + 1));
      this.#ids.add(slot, low, high);
    }
    if (this.#deadBytes > wasteMin && this.#deadBytes > this.#liveBytes) this.#moveBytes(slot);
    this.#kinds[slot] = kind;
    this.#placeOf[slot] = this.#bytes.take(length);
    this.#lengthOf[slot] = length;
    this.#liveBytes += length;
    this.#counts[resourceKinds[kind] ?? "unknown"]++;
    return slot;
  }

  #grow(capacity: number): void {
    this.#kinds = copyInto(new Uint8Array(capacity), this.#kinds);
    this.#ownerOf = copyInto(new Int32Array(capacity), this.#ownerOf);
    this.#nextOf = copyInto(new Int32Array(capacity), this.#nextOf);
    this.#previousOf = copyInto(new Int32Array(capacity), this.#previousOf);
    this.#placeOf = copyInto(new Uint32Array(capacity), this.#placeOf);
    this.#lengthOf = copyInto(new Uint32Array(capacity), this.#lengthOf);
  }

  // All but those of `except`, which are about to be written.
  #moveBytes(except: number): void {
    const bytes = new ByteChunks();
    for (const slot of this.slots()) {
      if (slot === except) continue;
      const from = this.viewAt(slot);
      const place = bytes.take(from.length);
      bytes.chunkOf(place).bytes.set(from, startOf(place));
      this.#placeOf[slot] = place;
    }
    this.#bytes = bytes;
    this.#deadBytes = 0;
  }

  #own(slot: number, name: string): void {
    const index = this.#ownerIndex(this.#ids.id(slot));
    this.#ownerOf[slot] = index;
    this.#ownerAt(slot).name = name;
  }

  #join(slot: number, low: number, high: number): void {
    if (this.#lastOwner.index === noSlot || this.#lastOwner.low !== low || this.#lastOwner.high !== high) {
      const id = ((BigInt(high) << 32n) | BigInt(low)) as ResourceId;
      this.#lastOwner = { low, high, index: this.#ownerIndex(id) };
    }
    this.#ownerOf[slot] = this.#lastOwner.index;
    const owner = this.#ownerAt(slot);
    this.#previousOf[slot] = noSlot;
    this.#nextOf[slot] = owner.first;
    if (owner.first !== noSlot) this.#previousOf[owner.first] = slot;
    owner.first = slot;
  }

  #ownerIndex(id: ResourceId): number {
    const found = this.#ownersById.get(id);
    if (found !== undefined) return found;
    const index = this.#freeOwners.pop() ?? this.#owners.length;
    this.#owners[index] = { id, name: undefined, first: noSlot };
    this.#ownersById.set(id, index);
    return index;
  }

  // The slot holds nothing any more.
  #leave(slot: number): void {
    const kind = this.#kinds[slot] ?? 0;
    const length = this.#lengthOf[slot] ?? 0;
    this.#liveBytes -= length;
    this.#deadBytes += length;
    this.#counts[resourceKinds[kind] ?? "unknown"]--;
    if (kind !== serviceKind && kind !== backendKind) return;
    const owner = this.#ownerAt(slot);
    if (kind === serviceKind) owner.name = undefined;
    else {
      const next = this.#nextOf[slot] ?? noSlot;
      const previous = this.#previousOf[slot] ?? noSlot;
      if (previous === noSlot) owner.first = next;
      else this.#nextOf[previous] = next;
      if (next !== noSlot) this.#previousOf[next] = previous;
    }
    if (owner.name !== undefined || owner.first !== noSlot) return;
    const index = this.#ownerOf[slot] ?? noSlot;
    this.#owners[index] = undefined;
    this.#freeOwners.push(index);
    this.#ownersById.delete(owner.id);
    this.#lastOwner = { low: 0, high: 0, index: noSlot };
  }
}

function copyInto<T extends Uint8Array | Int32Array | Uint32Array>(into: T, from: T): T {
  into.set(from);
  return into;
}
