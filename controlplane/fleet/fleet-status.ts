/** The state of the fleet as `weft.fleet.v1` says it. */
import { create } from "@bufbuild/protobuf";
import { compareText } from "@weft/proto/address.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { EpochSchema, FailureCategory, FailureSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Epoch as EpochMessage, Failure } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FleetStatusSchema, HeldRemovalSchema, NodeStatusSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type {
  FleetStatus,
  HeldRemoval as HeldRemovalMessage,
  NodeStatus,
} from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { HeldRemoval } from "../mass-removal/mass-removal.ts";
import type { FleetNode } from "./fleet-node.ts";
import type { Fleet } from "./fleet.ts";
import { firstFailure } from "./missing-reason.ts";
import { allNodes, nodeState } from "./node-state.ts";

/** Failures of one node that a status lists, so that thousands of failing nodes fit into one message. */
const failuresShownMax = 16;

/** Laggards that a status lists. */
const laggardsMax = 100;

/**
 * Every node that has a Node object or connected, by name.
 * @param nowMs For reasons such as "disconnected 5 s ago".
 */
export function fleetStatus(fleet: Fleet, nowMs: number, isWithoutNodes = false): FleetStatus {
  const { table, head } = fleet;
  const counts = { current: 0, behind: 0, failing: 0, disconnected: 0 };
  const lagging: { readonly name: string; readonly node: FleetNode | undefined }[] = [];
  const nodes: NodeStatus[] = [];
  for (const entry of allNodes(table)) {
    const { name, node } = entry;
    const state = nodeState(node, head);
    counts[state]++;
    if (state !== "current") lagging.push(entry);
    if (isWithoutNodes) continue;
    nodes.push(
      node === undefined ? create(NodeStatusSchema, { node: name, lag: BigInt(head) }) : nodeStatus(node, head),
    );
  }
  return create(FleetStatusSchema, {
    counts,
    laggards: lagging
      .toSorted((a, b) => (a.node?.applied ?? 0) - (b.node?.applied ?? 0) || compareText(a.name, b.name))
      .slice(0, laggardsMax)
      .map(({ name, node }) => ({
        node: name,
        applied: BigInt(node?.applied ?? 0),
        reason: fleet.whyMissing(name, head, nowMs) ?? (node === undefined ? "" : (firstFailure(node) ?? "")),
      })),
    laggardsTotal: lagging.length,
    epoch: epochMessage(fleet.epoch),
    revision: BigInt(head),
    synced: fleet.isSynced,
    nodes: nodes.toSorted((a, b) => compareText(a.node, b.node)),
    ...(fleet.heldRemoval === undefined ? {} : { heldRemoval: heldRemovalMessage(fleet.heldRemoval) }),
  });
}

export function heldRemovalMessage({ services, ofServices, sinceMs, untilMs, names }: HeldRemoval): HeldRemovalMessage {
  return create(HeldRemovalSchema, {
    services,
    ofServices,
    sinceMs: BigInt(Math.floor(sinceMs)),
    untilMs: BigInt(Math.floor(untilMs)),
    serviceNames: [...names],
  });
}

export function epochMessage(of: Epoch): EpochMessage {
  return create(EpochSchema, { createdMs: BigInt(of.createdMs), random: of.random });
}

function nodeStatus(node: FleetNode, head: Revision): NodeStatus {
  const isOpen = node.stream.kind === "open";
  const failures = failuresOf(node);
  return create(NodeStatusSchema, {
    node: node.name,
    connected: isOpen,
    received: BigInt(node.received),
    applied: BigInt(node.applied),
    lag: BigInt(head - node.applied),
    ...(node.roundTripUs === undefined ? {} : { roundTripUs: node.roundTripUs }),
    failures: failures.slice(0, failuresShownMax),
    failuresTotal: node.failuresTotal + (failures.length - node.failures.length),
    ...(node.versions === undefined ? {} : { versions: node.versions }),
    addresses: [...(node.addresses ?? [])],
    peer: node.stream.kind === "open" ? node.stream.peer : "",
    digest: node.digest,
    seenMs: BigInt(Math.floor(node.seenMs)),
  });
}

/** What it reports, behind what keeps it from being given anything to report about. */
export function failuresOf(node: FleetNode): readonly Failure[] {
  if (node.heldReason === undefined) return node.failures;
  const held = { service: "", category: FailureCategory.MASS_REMOVAL_HELD, reason: node.heldReason };
  return [create(FailureSchema, held), ...node.failures];
}
