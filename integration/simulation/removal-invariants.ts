/**
 * Mass removal (DESIGN section 4): an agent that follows the rules never loses more than the threshold's share of its services by something
 * that nobody confirmed. Looked at in every place that guards it, so that one guard cannot hide behind the next:
 *
 * 7. At the source: a commit takes away nothing that a relist lacks and that is doubted (`removal-account.ts`).
 *    At the stream: an agent whose state is of another history is sent no state of so many fewer services, and nothing
 *    that is marked as confirmed and takes anything away.
 *    At the agent: a round takes away no more than the threshold's share of what is live, but for what the control plane itself had and took away.
 * 8. What is confirmed arrives: the next commit has it, and every node that was held has it soon.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { epoch as epochOf, printCursor, printEpoch } from "@weft/proto/cursor.ts";
import type { Epoch } from "@weft/proto/cursor.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Delta, SyncRequest, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Round } from "@weft/nodeagent/dataplane/dataplane.ts";
import { servicesAfter } from "./kernel.ts";
import type { NodeWitness, SimulatedNode } from "./node.ts";
import { isTooMany } from "./removal-account.ts";
import type { RemovalAccount } from "./removal-account.ts";
import { Violation } from "./violation.ts";

interface Conversation {
  epoch: Epoch | undefined;
  /** Services that the agent said it holds. */
  readonly services: number;
  /** Of the snapshot or repair that is coming: what it puts and removes, of services. */
  readonly puts: Set<bigint>;
  readonly removed: Set<bigint>;
}

export class RemovalInvariants implements NodeWitness {
  readonly #accounts: RemovalAccount[] = [];
  readonly #conversations = new Map<SimulatedNode, Conversation>();

  /** Of a control plane that starts. */
  started(account: RemovalAccount): void {
    this.#accounts.push(account);
  }

  activating(node: SimulatedNode, round: Round, _digest: bigint, isEverything: boolean): void {
    const account = this.#accountOf(round.cursor.epoch);
    if (account === undefined)
      throw new Violation(`7: no control plane had the epoch ${printEpoch(round.cursor.epoch)}`);
    if (account.isConfirmed) return;
    const live = new Set(node.kernel.held.keys());
    const after = servicesAfter(node.kernel, round, isEverything);
    const lost = [...live].filter((name) => !after.has(name) && !account.hasRemoved(name) && !node.spoilt.has(name));
    // What was spoilt may be held beside what is live.
    const ofServices = new Set([...live, ...node.spoilt]).size;
    if (!isTooMany(lost.length, ofServices, account.limits)) return;
    throw new Violation(
      `7: ${node.name} activates ${printCursor(round.cursor)}, which takes ${lost.length} of ${ofServices} services away unconfirmed`,
    );
  }

  sent(node: SimulatedNode, { message }: SyncRequest): void {
    if (message.case !== "hello") return;
    const services = message.value.counts?.services ?? 0;
    this.#conversations.set(node, { epoch: undefined, services, puts: new Set(), removed: new Set() });
  }

  receiving(node: SimulatedNode, { welcome, delta }: SyncResponse): void {
    const conversation = this.#conversations.get(node);
    if (conversation === undefined) return;
    if (welcome?.epoch !== undefined) {
      conversation.epoch = epochOf(welcome.epoch.createdMs, welcome.epoch.random);
    }
    if (delta !== undefined && delta.from === undefined) this.#whole(node, conversation, delta);
  }

  // A snapshot or a repair.
  #whole(node: SimulatedNode, { epoch, services, puts, removed }: Conversation, delta: Delta): void {
    const { store } = node;
    if (store === undefined || epoch === undefined) return;
    if (delta.part === 0) for (const set of [puts, removed]) set.clear();
    for (const bytes of delta.resources) {
      const { id, kind } = fromBinary(ResourceSchema, bytes);
      if (kind.case === "service") puts.add(id);
    }
    for (const id of delta.removed) removed.add(id);
    const account = this.#accountOf(epoch);
    const isOurs = node.cursor !== undefined && account?.isOf(node.cursor.epoch) === true;
    if (delta.part + 1 < delta.parts || account === undefined || account.isConfirmed || isOurs) return;
    const held = new Set([...store.resources()].flatMap(([id, { kind }]) => (kind === "service" ? [id] : [])));
    const isKept = (id: bigint): boolean => (delta.scope?.everything === true ? puts.has(id) : !removed.has(id));
    const kept = [...held].filter(isKept).length;
    const added = [...puts].filter((id) => !(held as Set<bigint>).has(id)).length;
    const what = `${node.name}, whose state is of another history, is sent revision ${delta.to}`;
    if (delta.massRemovalConfirmed && kept < held.size) {
      throw new Violation(`7: ${what}, which takes ${held.size - kept} of ${held.size} services away, as confirmed`);
    }
    // The control plane counts, it does not compare. What was spoilt since the Hello it cannot know.
    const after = kept + added;
    if (!node.wasSpoilt && isTooMany(services - after, services, account.limits)) {
      throw new Violation(`7: ${what} with ${after} services, and it has ${services}`);
    }
  }

  #accountOf(epoch: Epoch): RemovalAccount | undefined {
    return this.#accounts.find((account) => account.isOf(epoch));
  }
}
