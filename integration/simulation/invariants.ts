/**
 * What must hold in every run, and is looked at after every event that could break it:
 *
 * 1. What a node activates is a state that was committed, under the cursor that it says. (But for a store that was spoilt on purpose,
 *    until it is mended.)
 * 2. What is live never goes back within an epoch, whatever restarts; only a power failure lets a node fall back to its disk.
 * 3. An ack names nothing that is not live, and its digest is that of what it names.
 * 4. What leads where the agent already is is not sent: a snapshot or a repair changes something. A repair lists nothing that the
 *    agent has, but what was committed anew while it was compared.
 * 5. A wait that is `done` was true at that moment: every node had the revision live, no node could choose the backend. (But for a node
 *    that lost its power since it acked: what it serves from its disk until it is back may be a second older. Nor of one whose store was spoilt.)
 * 6. In the end all is equal: the head serves what the source has, every agent holds the head, its kernel is a plan made from nothing of
 *    it, and the fleet knows.
 *
 * 7 and 8 are in `removal-invariants.ts` and `confirmations.ts`, 9 and 10 in `node-streams.ts`.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { compareEpochs, epoch as epochOf, isSameEpoch, printCursor, revision } from "@weft/proto/cursor.ts";
import type { Cursor, Epoch } from "@weft/proto/cursor.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { FailureCategory, GoawayReason } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Delta, SyncRequest, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Round } from "@weft/nodeagent/dataplane/dataplane.ts";
import { bytesOf } from "@weft/nodeagent/sync/kept-bytes.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { Counts } from "./counts.ts";
import type { NodeWitness, SimulatedNode } from "./node.ts";
import { Violation } from "./violation.ts";

/** How long before it is sent the comparison behind a repair may have begun. */
const comparedMaxMs = 30_000;

interface Conversation {
  /** Of the last Welcome. */
  epoch: Epoch | undefined;
  /** A mass removal was held in it: then it ends with a snapshot, whatever has become of it meanwhile. */
  wasHeld: boolean;
  /** The store was spoilt while it went on. */
  wasCorrupt: boolean;
}

export class Invariants implements NodeWitness {
  readonly #counts: Counts;
  /** Root digest of every revision ever committed, by its printed cursor. */
  readonly #roots = new Map<string, bigint>();
  readonly #conversations = new Map<SimulatedNode, Conversation>();

  /** When a resource was last put after the first revision of a control plane. */
  readonly #putAtMs = new Map<ResourceId, number>();
  /** When somebody who held what has this digest was first asked. */
  readonly #comparedAtMs = new Map<bigint, number>();
  readonly #nowMs: () => number;

  constructor(counts: Counts, nowMs: () => number) {
    this.#counts = counts;
    this.#nowMs = nowMs;
  }

  committed(cursor: string, root: bigint, puts: readonly ResourceId[]): void {
    this.#roots.set(cursor, root);
    for (const id of puts) this.#putAtMs.set(id, this.#nowMs());
  }

  activating(node: SimulatedNode, round: Round, digest: bigint): void {
    const { cursor } = round;
    const root = this.#roots.get(printCursor(cursor));
    // A round that was planned before it was spoilt mends nothing, and what waits behind it may look as if it did.
    const isAll = node.cursor !== undefined && printCursor(node.cursor) === printCursor(cursor);
    if (node.isCorrupt) node.isCorrupt = !isAll || digest !== root || node.store?.digest !== digest;
    else if (digest !== root) {
      throw new Violation(`1: ${node.name} activates ${printCursor(cursor)}, which is no state that was committed`);
    }
    const live = node.kernel.cursor;
    if (live === undefined) return;
    if (isSameEpoch(live.epoch, cursor.epoch) && cursor.revision < live.revision) {
      throw new Violation(`2: ${node.name} goes back from ${printCursor(live)} to ${printCursor(cursor)}`);
    }
    if (compareEpochs(cursor.epoch, live.epoch) < 0) this.#counts.add("older epoch taken");
  }

  sent(node: SimulatedNode, { message }: SyncRequest): void {
    if (message.case === "hello") {
      this.#conversations.set(node, { epoch: undefined, wasHeld: false, wasCorrupt: node.isCorrupt });
      return;
    }
    const conversation = this.#conversations.get(node);
    if (message.case !== "ack" || conversation?.epoch === undefined) return;
    const ack = message.value;
    if (ack.failures.some(({ category }) => category === FailureCategory.MASS_REMOVAL_HELD)) {
      if (!conversation.wasHeld) this.#counts.add("removal held by an agent");
      conversation.wasHeld = true;
    }
    if (ack.revision === 0n) return;
    const said: Cursor = { epoch: conversation.epoch, revision: revision(ack.revision) };
    const live = node.kernel.cursor;
    const isLive = live !== undefined && isSameEpoch(live.epoch, said.epoch) && live.revision >= said.revision;
    if (!isLive) {
      const printed = live === undefined ? "nothing" : printCursor(live);
      throw new Violation(`3: ${node.name} acks ${printCursor(said)}, and ${printed} is live`);
    }
    conversation.wasCorrupt ||= node.isCorrupt;
    if (!conversation.wasCorrupt && ack.digest !== this.#roots.get(printCursor(said))) {
      throw new Violation(`3: ${node.name} acks ${printCursor(said)} with another digest than it has`);
    }
  }

  receiving(node: SimulatedNode, message: SyncResponse): void {
    const conversation = this.#conversations.get(node);
    if (conversation === undefined) return;
    conversation.wasCorrupt ||= node.isCorrupt;
    const { welcome, delta, goaway, digestQuery } = message;
    if (welcome?.epoch !== undefined) {
      if (conversation.epoch !== undefined) this.#counts.add("epoch renamed");
      conversation.epoch = epochOf(welcome.epoch.createdMs, welcome.epoch.random);
    }
    if (goaway !== undefined) {
      this.#counts.add("goaway");
      if (goaway.reason === GoawayReason.OVERLOADED) this.#counts.add("hello deferred");
      if (goaway.reason === GoawayReason.DRAINING && goaway.retryAfterMs > 0) this.#counts.add("return time given");
    }
    if (digestQuery !== undefined) {
      this.#counts.add("digest query");
      const digest = node.store?.digest ?? 0n;
      if (!this.#comparedAtMs.has(digest)) this.#comparedAtMs.set(digest, this.#nowMs());
    }
    if (delta !== undefined) this.#delta(node, conversation, delta);
  }

  /** No answer of a wait but `done` can be wrong. `have`: the live cursor of each node. */
  done(needed: Cursor, nodes: readonly SimulatedNode[]): void {
    for (const { name, kernel, hasLostPower } of nodes) {
      const live = kernel.cursor;
      if (hasLostPower) continue;
      const isLive = live !== undefined && isSameEpoch(live.epoch, needed.epoch) && live.revision >= needed.revision;
      if (!isLive) throw new Violation(`5: done for ${printCursor(needed)}, and ${name} does not run it`);
    }
  }

  drained(address: string, port: number, nodes: readonly SimulatedNode[]): void {
    for (const { name, kernel, hasLostPower, wasSpoilt } of nodes) {
      if (hasLostPower || wasSpoilt) continue;
      for (const { service, frontends } of kernel.held.values()) {
        const targets = frontends.flatMap((frontend) => [...frontend.targets]);
        if (targets.some((target) => target.address === address && target.port === port)) {
          throw new Violation(`5: done for the drained ${address}:${port}, and ${name} chooses it for ${service}`);
        }
      }
    }
  }

  #delta(node: SimulatedNode, conversation: Conversation, delta: Delta): void {
    const { epoch, wasHeld, wasCorrupt } = conversation;
    const scope = delta.from !== undefined ? "delta" : delta.scope?.everything === true ? "snapshot" : "repair";
    if (delta.part === 0) this.#counts.add(scope);
    if (delta.from !== undefined || epoch === undefined || wasHeld || wasCorrupt) return;
    const held = node.store;
    if (held === undefined || delta.part !== 0) return;
    const to = printCursor({ epoch, revision: revision(delta.to) });
    if (held.size > 0 && held.digest === this.#roots.get(to)) {
      throw new Violation(`4: ${node.name} is sent a ${scope} to ${to}, which it has`);
    }
    if (scope !== "repair") return;
    // What a digest was found to differ in is remembered for whoever comes with it later.
    const comparedMs = (this.#comparedAtMs.get(held.digest) ?? this.#nowMs()) - comparedMaxMs;
    for (const bytes of delta.resources) {
      const { id } = fromBinary(ResourceSchema, bytes);
      const has = held.resources().get(id as ResourceId);
      const isNew = (this.#putAtMs.get(id as ResourceId) ?? -Infinity) > comparedMs;
      if (!isNew && has !== undefined && Buffer.compare(bytesOf(has.bytes), bytes) === 0) {
        throw new Violation(`4: ${node.name} is sent a repair to ${to} with something that it has`);
      }
    }
  }
}
