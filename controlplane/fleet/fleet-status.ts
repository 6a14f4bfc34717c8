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

/** Failures of one node that a status lists, so that thousands of failing nodes fit into one message. */
const failuresShownMax = 16;

/** Every node that has a Node object or connected, by name. */
export function fleetStatus(fleet: Fleet): FleetStatus {
  const { table, head } = fleet;
  const nodes = new Map<string, NodeStatus>();
  for (const node of table.nodes()) nodes.set(node.name, nodeStatus(node, head));
  for (const name of table.known ?? []) {
    if (!nodes.has(name)) nodes.set(name, create(NodeStatusSchema, { node: name, lag: BigInt(head) }));
  }
  return create(FleetStatusSchema, {
    epoch: epochMessage(fleet.epoch),
    revision: BigInt(head),
    synced: fleet.isSynced,
    nodes: [...nodes.values()].toSorted((a, b) => compareText(a.node, b.node)),
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
