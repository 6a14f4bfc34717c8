/** Whether an agent may be given what the head holds, if that takes most of its services away (DESIGN section 4). */
import { FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { isMassRemoval } from "../mass-removal/mass-removal.ts";
import type { World } from "./stream-state.ts";
import type { Transfer } from "./transfer.ts";

/** What an agent holds that the answer may take away. */
export interface Doubt {
  /** `control-plane`: it was sent no state. `agent`: it refused a snapshot, and takes nothing but a confirmed one. */
  readonly by: "control-plane" | "agent";
  /** Root digest of what it holds. */
  readonly digest: bigint;
  /** Services it holds. */
  readonly services: number;
}

export type Answer =
  | { readonly kind: "hold" }
  /** It holds what the head holds. */
  | { readonly kind: "synced" }
  /** `isGood`: whether one cut shortly before the head will do. */
  | {
      readonly kind: "snapshot";
      readonly isMassRemovalConfirmed: boolean;
      readonly isGood: (cut: Transfer) => boolean;
    };

const hold: Answer = { kind: "hold" };
const confirmed: Extract<Answer, { kind: "snapshot" }> = {
  kind: "snapshot",
  isMassRemovalConfirmed: true,
  isGood: () => true,
};

/** What an agent gets now. Without a doubt its state is of this history: what it lacks was removed here, and was believed. */
export function answerTo(doubt: Doubt | undefined, world: World): Answer {
  if (doubt === undefined) return confirmed;
  if (world.isRemovalConfirmed) {
    return doubt.by === "control-plane" && doubt.digest === world.root ? { kind: "synced" } : confirmed;
  }
  // More may be live on a node than its agent holds, which then counts that.
  if (doubt.digest === world.root && doubt.services === world.services) {
    // One that holds ignores Synced. A snapshot of just what it has removes nothing, whether anyone confirmed it or not.
    return doubt.by === "agent" ? { ...confirmed, isGood: (cut) => cut.to === world.head } : { kind: "synced" };
  }
  const isMass = (services: number): boolean =>
    isMassRemoval(doubt.services - services, doubt.services, world.massRemoval);
  if (doubt.by === "agent" || isMass(world.services)) return hold;
  return { kind: "snapshot", isMassRemovalConfirmed: false, isGood: (cut) => !isMass(cut.services) };
}

/** `services`: at the head. */
export function printDoubt(doubt: Doubt, services: number): string {
  const what =
    doubt.by === "control-plane"
      ? `the source lists ${services} services and this node holds ${doubt.services}: it is given no state`
      : `this node holds ${doubt.services} services and refused a snapshot that removes most of them: it is given no other`;
  return `${what} until that is confirmed; look at the source, or run \`weft confirm-removal\``;
}

/** The agent refused a snapshot because of what that removes. */
export function isHeldByAgent(ack: Ack): boolean {
  return ack.failures.some(({ category }) => category === FailureCategory.MASS_REMOVAL_HELD);
}
