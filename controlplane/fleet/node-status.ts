/** The state of one node as `weft.fleet.v1` says it. */
import { create } from "@bufbuild/protobuf";
import type { Revision } from "@weft/proto/cursor.ts";
import { FailureCategory, FailureSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Failure } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { NodeStatusSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { NodeStatus } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { FleetNode } from "./fleet-node.ts";

/** Failures of one node that a status lists, so that thousands of failing nodes fit into one message. */
const failuresShownMax = 16;

/** @param node Undefined: it has a Node object and never connected. */
export function nodeStatus(name: string, node: FleetNode | undefined, head: Revision): NodeStatus {
  if (node === undefined) return create(NodeStatusSchema, { node: name, lag: BigInt(head) });
  const isOpen = node.stream.kind === "open";
  const failures = failuresOf(node);
  return create(NodeStatusSchema, {
    node: name,
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
