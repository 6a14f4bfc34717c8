/** The state of the fleet as `weft.fleet.v1` says it. */
import { create } from "@bufbuild/protobuf";
import { compareText } from "@weft/proto/address.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { EpochSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Epoch as EpochMessage } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FleetStatusSchema, NodeStatusSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { FleetStatus, NodeStatus } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
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
  });
}

export function epochMessage(of: Epoch): EpochMessage {
  return create(EpochSchema, { createdMs: BigInt(of.createdMs), random: of.random });
}

function nodeStatus(node: FleetNode, head: Revision): NodeStatus {
  const isOpen = node.stream.kind === "open";
  return create(NodeStatusSchema, {
    node: node.name,
    connected: isOpen,
    received: BigInt(node.received),
    applied: BigInt(node.applied),
    lag: BigInt(head - node.applied),
    ...(node.roundTripUs === undefined ? {} : { roundTripUs: node.roundTripUs }),
    failures: node.failures.slice(0, failuresShownMax),
    failuresTotal: node.failuresTotal,
    ...(node.versions === undefined ? {} : { versions: node.versions }),
    addresses: [...(node.addresses ?? [])],
    peer: node.stream.kind === "open" ? node.stream.peer : "",
    digest: node.digest,
    seenMs: BigInt(Math.floor(node.seenMs)),
  });
}
