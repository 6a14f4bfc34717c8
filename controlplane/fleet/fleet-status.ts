/** The state of the fleet as `weft.fleet.v1` says it. */
import { create, toBinary } from "@bufbuild/protobuf";
import type { Epoch } from "@weft/proto/cursor.ts";
import { EpochSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Epoch as EpochMessage } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FleetStatusSchema, HeldRemovalSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { HeldRemoval as HeldRemovalMessage } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { varintBytes, writeVarint } from "@weft/proto/varint.ts";
import type { HeldRemoval } from "../mass-removal/mass-removal.ts";
import type { FleetNode } from "./fleet-node.ts";
import type { Fleet } from "./fleet.ts";
import { firstFailure } from "./missing-reason.ts";
import { nodeState } from "./node-state.ts";
import { NodeStatusBytes } from "./node-status-bytes.ts";

/** Laggards that a status lists. */
const laggardsMax = 100;

/** `status` of `GetStatusResponse` and of `WatchStatusResponse`. */
const tagStatus = (1 << 3) | 2;

/**
 * An encoded `GetStatusResponse`, which is the encoding of a `WatchStatusResponse` too: every node that has a Node object or
 * connected, by name.
 * @param nowMs For reasons such as "disconnected 5 s ago".
 */
export function encodedStatus(fleet: Fleet, nowMs: number, isWithoutNodes = false): Uint8Array {
  const { table, head } = fleet;
  const counts = { current: 0, behind: 0, failing: 0, disconnected: 0 };
  const lagging: Lagging[] = [];
  const names = table.namesListed();
  const nodes = new NodeStatusBytes(isWithoutNodes ? 0 : names.length);
  for (const name of names) {
    const node = table.get(name);
    const state = nodeState(node, head);
    counts[state]++;
    if (state !== "current") lagging.push({ name, node });
    if (!isWithoutNodes) nodes.add(name, node, head);
  }
  const status = create(FleetStatusSchema, {
    counts,
    // Nodes that are equally far behind stay sorted by name.
    laggards: lagging
      .toSorted((a, b) => (a.node?.applied ?? 0) - (b.node?.applied ?? 0))
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
    ...(fleet.heldRemoval === undefined ? {} : { heldRemoval: heldRemovalMessage(fleet.heldRemoval) }),
  });
  return enclosed(toBinary(FleetStatusSchema, status), nodes.bytes);
}

interface Lagging {
  readonly name: string;
  readonly node: FleetNode | undefined;
}

// Fields of one message may come in any order.
function enclosed(status: Uint8Array, nodes: Uint8Array): Uint8Array {
  const size = status.length + nodes.length;
  const bytes = Buffer.allocUnsafe(1 + varintBytes(size) + size);
  bytes[0] = tagStatus;
  const at = writeVarint(bytes, 1, size);
  bytes.set(status, at);
  bytes.set(nodes, at + status.length);
  return bytes;
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
