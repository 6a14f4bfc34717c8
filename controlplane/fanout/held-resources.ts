/**
 * For tests: what an agent holds, by the rules of discovery.proto and nothing else, written apart from the agent's own store so
 * that a misreading on one side shows.
 */
import { create, fromBinary } from "@bufbuild/protobuf";
import { compareEpochs, epoch, isSameEpoch, revision } from "@weft/proto/cursor.ts";
import type { Cursor, Epoch } from "@weft/proto/cursor.ts";
import { Digest } from "@weft/proto/digest.ts";
import { DigestsSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type {
  Delta,
  DigestQuery,
  Digests,
  NodeView,
  SyncResponse,
} from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { hash64, hashToBigint } from "@weft/proto/hash.ts";
import { receivedId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { isMassRemoval, massRemovalLimits } from "../mass-removal/mass-removal.ts";
import type { MassRemovalLimits } from "../mass-removal/mass-removal.ts";

export class HeldResources {
  readonly resources = new Map<ResourceId, Uint8Array>();
  cursor: Cursor | undefined;
  nodeView: NodeView | undefined;
  snapshots = 0;
  repairs = 0;
  /** Heartbeats whose digest is not that of what is held. */
  mismatches = 0;
  /** Resources that repairs carried, removals included. */
  repaired = 0;
  /** It refused a snapshot, and takes nothing but a confirmed one. */
  isHolding = false;
  readonly #limits: MassRemovalLimits;
  #epoch: Epoch | undefined;
  #parts: Delta[] = [];

  constructor(limits: MassRemovalLimits = massRemovalLimits) {
    this.#limits = limits;
  }

  get services(): number {
    return this.#servicesAmong(this.resources.values());
  }

  get digest(): bigint {
    const digest = new Digest();
    for (const [id, bytes] of this.resources) digest.add(id, hash64(bytes));
    return digest.root;
  }

  /** What an ack names: the revision held of the epoch of this stream, else 0. */
  get position(): number {
    return this.cursor !== undefined && this.#isCurrent(this.cursor) ? this.cursor.revision : 0;
  }

  /** A new stream: half of a delta is worth nothing. */
  reconnected(): void {
    this.#parts = [];
    this.#epoch = undefined;
    this.isHolding = false;
  }

  /** Returns whether something became active. @throws if a rule is broken. */
  take(response: SyncResponse): boolean {
    if (response.welcome !== undefined) this.#welcome(response.welcome);
    else if (this.#epoch === undefined) throw new Error("something came before Welcome");
    if (response.nodeView !== undefined) this.nodeView = response.nodeView;
    let isActive = false;
    if (response.delta !== undefined) isActive = this.#delta(response.delta);
    if (response.synced !== undefined && !this.isHolding) {
      this.#moveTo(response.synced.revision);
      isActive = true;
    }
    const beat = response.heartbeat;
    if (beat?.digest !== undefined && BigInt(this.position) === beat.revision && beat.digest !== this.digest) {
      this.mismatches++;
    }
    return isActive;
  }

  #welcome(welcome: NonNullable<SyncResponse["welcome"]>): void {
    if (this.#parts.length > 0) throw new Error("Welcome between the parts of a delta");
    const of = epoch(welcome.epoch?.createdMs ?? 0n, welcome.epoch?.random ?? 0);
    if (this.cursor !== undefined && compareEpochs(of, this.cursor.epoch) < 0)
      throw new Error("Welcome of an older epoch");
    this.#epoch = of;
  }

  /** An answer in messages of at most `perMessage` hashes. */
  digests({ allBuckets, buckets }: DigestQuery, perMessage = 1_000): Digests[] {
    const standing = BigInt(this.position);
    const asked = new Set(buckets);
    const hashes = [...this.resources]
      .filter(([id]) => asked.has(Number(id & 1_023n)))
      .map(([id, bytes]) => ({ id, hash: hashToBigint(hash64(bytes)) }));
    const digest = new Digest();
    for (const [id, bytes] of this.resources) digest.add(id, hash64(bytes));
    const sums = Array.from({ length: 1_024 }, (_, i) => digest.bucket(i));
    const messages: Digests[] = [];
    for (let at = 0; at === 0 || at < hashes.length; at += perMessage) {
      const resources = hashes.slice(at, at + perMessage);
      const last = at + perMessage >= hashes.length;
      messages.push(
        create(DigestsSchema, { revision: standing, buckets: at === 0 && allBuckets ? sums : [], resources, last }),
      );
    }
    return messages;
  }

  #delta(delta: Delta): boolean {
    if (this.nodeView === undefined) throw new Error("Delta before NodeView");
    if (this.isHolding && !delta.massRemovalConfirmed) return false;
    const parts = delta.parts || 1;
    if (delta.part !== this.#parts.length) throw new Error(`part ${delta.part} came as number ${this.#parts.length}`);
    if (this.#parts.some((earlier) => earlier.to !== delta.to)) throw new Error("parts of different revisions");
    this.#parts.push(delta);
    if (this.#parts.length < parts) return false;
    const whole = this.#parts;
    this.#parts = [];
    this.isHolding = !delta.massRemovalConfirmed && delta.from === undefined && this.#isMassRemoval(whole);
    if (this.isHolding) return false;
    this.#apply(whole);
    this.#moveTo(delta.to);
    return true;
  }

  #apply(parts: readonly Delta[]): void {
    const first = parts[0];
    if (first?.from === undefined) {
      if (first?.scope?.everything === true) {
        this.resources.clear();
        this.snapshots++;
      } else {
        this.#checkRepair(parts);
      }
    } else {
      const isHere =
        this.cursor !== undefined && this.#isCurrent(this.cursor) && BigInt(this.cursor.revision) === first.from;
      if (!isHere) throw new Error(`a delta from ${first.from} at ${this.cursor?.revision}`);
    }
    const removed = parts.flatMap((part) => part.removed);
    const gone = new Set(removed);
    for (const id of removed) this.resources.delete(receivedId(id));
    // Removing a service implies its backends.
    for (const [id, bytes] of this.resources) {
      const { kind } = fromBinary(ResourceSchema, bytes);
      if (kind.case === "backend" && gone.has(kind.value.service)) this.resources.delete(id);
    }
    for (const bytes of parts.flatMap((part) => part.resources)) {
      const id = receivedId(fromBinary(ResourceSchema, bytes).id);
      if (gone.has(id)) throw new Error(`${id} is removed and put at once`);
      this.resources.set(id, bytes);
    }
  }

  #checkRepair(parts: readonly Delta[]): void {
    const buckets = parts[0]?.scope?.buckets ?? [];
    if (buckets.length === 0) throw new Error("a repair that names no bucket");
    if (buckets.some((bucket, i) => bucket > 1_023 || bucket <= (buckets[i - 1] ?? -1))) {
      throw new Error(`buckets of a repair: ${buckets.join()}`);
    }
    for (const { scope, removed, resources } of parts) {
      if (scope?.buckets.join() !== buckets.join()) throw new Error("parts of different repairs");
      const ids = [...removed, ...resources.map((bytes) => fromBinary(ResourceSchema, bytes).id)];
      const stray = ids.find((id) => !buckets.includes(Number(id & 1_023n)));
      if (stray !== undefined) throw new Error(`a repair touches ${stray} outside its buckets`);
      this.repaired += ids.length;
    }
    this.repairs++;
  }

  #isMassRemoval(parts: readonly Delta[]): boolean {
    if (parts[0]?.scope?.everything !== true) {
      const gone = parts.flatMap(({ removed }) => removed.flatMap((id) => this.resources.get(receivedId(id)) ?? []));
      return isMassRemoval(this.#servicesAmong(gone), this.services, this.#limits);
    }
    const listed = new Set(
      parts.flatMap(({ resources }) => resources.map((bytes) => receivedId(fromBinary(ResourceSchema, bytes).id))),
    );
    const lost = [...this.resources].filter(([id]) => !listed.has(id)).map(([, bytes]) => bytes);
    return isMassRemoval(this.#servicesAmong(lost), this.services, this.#limits);
  }

  #servicesAmong(all: Iterable<Uint8Array>): number {
    let services = 0;
    for (const bytes of all) if (fromBinary(ResourceSchema, bytes).kind.case === "service") services++;
    return services;
  }

  #moveTo(to: bigint): void {
    if (this.#epoch === undefined) throw new Error("state before Welcome");
    const at = revision(to);
    if (this.cursor !== undefined && this.#isCurrent(this.cursor) && at < this.cursor.revision) {
      throw new Error(`revision went back from ${this.cursor.revision} to ${at}`);
    }
    this.cursor = { epoch: this.#epoch, revision: at };
  }

  #isCurrent(cursor: Cursor): boolean {
    return this.#epoch !== undefined && isSameEpoch(cursor.epoch, this.#epoch);
  }
}
