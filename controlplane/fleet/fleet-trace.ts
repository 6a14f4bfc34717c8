/** How a revision went, as `weft.fleet.v1` says it: from acks alone. */
import { create } from "@bufbuild/protobuf";
import { compareText } from "@weft/proto/address.ts";
import { epoch as makeEpoch, isSameEpoch, printEpoch, revision } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { GetTraceResponseSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { GetTraceRequest, GetTraceResponse } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { percents } from "./convergence.ts";
import type { FleetNode } from "./fleet-node.ts";
import { epochMessage } from "./fleet-status.ts";
import type { Fleet } from "./fleet.ts";
import type { RememberedAck, RememberedRevision } from "./revision-ring.ts";

const slowestDefault = 10;
const slowestMax = 10_000;
const nodesMax = 256;
const missingMax = 100;

export type TraceAnswer =
  | { readonly kind: "trace"; readonly trace: GetTraceResponse }
  | { readonly kind: "invalid" | "not-found" | "other-epoch"; readonly problem: string };

/** @param nowMs For reasons such as "disconnected 5 s ago". */
export function fleetTrace(fleet: Fleet, request: GetTraceRequest, nowMs: number): TraceAnswer {
  if (request.slowest > slowestMax) return invalid(`slowest: at most ${slowestMax}, not ${request.slowest}`);
  if (request.nodes.length > nodesMax) return invalid(`nodes: at most ${nodesMax}, not ${request.nodes.length}`);
  const asked = readRevision(fleet, request);
  if (typeof asked !== "number") return asked;
  const { table } = fleet;
  const { range } = table.revisions;
  const of = table.revisions.read(asked);
  if (of === undefined || range === undefined) {
    const known = range === undefined ? "none yet" : `${range.first} to ${range.last}`;
    return { kind: "not-found", problem: `revision ${asked} is not remembered; these are: ${known}` };
  }
  const unknown = request.nodes.find((name) => table.get(name) === undefined);
  if (unknown !== undefined) {
    return { kind: "not-found", problem: `node ${JSON.stringify(unknown)}: no agent connected with this name` };
  }
  return { kind: "trace", trace: traceMessage(fleet, of, request, nowMs) };
}

function readRevision(fleet: Fleet, { cursor }: GetTraceRequest): Revision | TraceAnswer {
  if (cursor === undefined) return fleet.head;
  const { epoch } = cursor;
  if (cursor.revision < 1n || cursor.revision > Number.MAX_SAFE_INTEGER) return invalid("cursor.revision: at least 1");
  if (epoch !== undefined) {
    if (epoch.createdMs > Number.MAX_SAFE_INTEGER) return invalid("cursor.epoch.created_ms: is out of range");
    const of = makeEpoch(epoch.createdMs, epoch.random);
    if (!isSameEpoch(of, fleet.epoch)) {
      const problem = `epoch ${printEpoch(of)} is not, or no longer, the current one, ${printEpoch(fleet.epoch)}`;
      return { kind: "other-epoch", problem };
    }
  }
  return revision(cursor.revision);
}

function traceMessage(fleet: Fleet, of: RememberedRevision, request: GetTraceRequest, nowMs: number): GetTraceResponse {
  const { commit, acks, missing } = of;
  const { steps, committedAtUs, connected } = commit;
  const bySlot = new Map<number, FleetNode>();
  for (const node of fleet.table.nodes()) bySlot.set(node.slot, node);
  const elapsedUs = (ack: RememberedAck): number => Math.max(0, Math.round(ack.ackedAtUs - committedAtUs));
  // In the order in which they came.
  const counted = acks.filter(({ wasConnected }) => wasConnected);
  const missingNames = missing.map((slot) => bySlot.get(slot)?.name ?? "").filter((name) => name !== "");
  return create(GetTraceResponseSchema, {
    epoch: epochMessage(fleet.epoch),
    commit: {
      revision: BigInt(commit.revision),
      puts: commit.puts,
      removals: commit.removals,
      bytes: BigInt(commit.bytes),
      committedAtUs: wireUs(committedAtUs),
      services: [...commit.services],
    },
    noticedAtUs: wireUs(steps.noticedAtUs),
    compileStartedAtUs: wireUs(steps.compileStartedAtUs),
    compiledAtUs: wireUs(steps.compiledAtUs),
    sentAtUs: wireUs(of.flushedAtUs ?? 0),
    traceId: steps.traceId ?? "",
    connected,
    acked: counted.length,
    convergence: percents.flatMap((percent) => {
      const ack = counted[Math.ceil((percent * connected) / 100) - 1];
      if (ack === undefined) return [];
      return [{ revision: BigInt(commit.revision), percent, elapsedUs: BigInt(elapsedUs(ack)), nodes: connected }];
    }),
    firstAckUs: BigInt(counted[0] === undefined ? 0 : elapsedUs(counted[0])),
    lastAckUs: BigInt(counted.at(-1) === undefined ? 0 : elapsedUs(counted.at(-1) as RememberedAck)),
    nodes: listed(acks, bySlot, request).map(({ ack, name }) => ({
      node: name,
      commitToAckUs: BigInt(elapsedUs(ack)),
      revision: BigInt(ack.revision),
      durations: ack.durations,
      failuresTotal: ack.failuresTotal,
      cameLater: !ack.wasConnected,
    })),
    missing: missingNames
      .toSorted(compareText)
      .slice(0, missingMax)
      .map((name) => ({
        node: name,
        applied: BigInt(fleet.table.get(name)?.applied ?? 0),
        reason: fleet.whyMissing(name, commit.revision, nowMs) ?? "its ack was forgotten",
      })),
    missingTotal: missingNames.length,
  });
}

// The slowest, then those asked for by name that are not among them.
function listed(
  acks: readonly RememberedAck[],
  bySlot: ReadonlyMap<number, FleetNode>,
  { slowest, nodes }: GetTraceRequest,
): readonly { readonly name: string; readonly ack: RememberedAck }[] {
  const named = acks.flatMap((ack) => {
    const name = bySlot.get(ack.slot)?.name;
    return name === undefined ? [] : [{ name, ack }];
  });
  // Later comers would be the slowest by no fault of theirs.
  const slow = named
    .filter(({ ack }) => ack.wasConnected)
    .slice(-(slowest === 0 ? slowestDefault : slowest))
    .toReversed();
  const byName = new Map(named.map((entry) => [entry.name, entry]));
  const isListed = new Set(slow.map(({ name }) => name));
  const more = [...new Set(nodes)].filter((name) => !isListed.has(name)).flatMap((name) => byName.get(name) ?? []);
  return [...slow, ...more];
}

function wireUs(us: number): bigint {
  return BigInt(Math.max(0, Math.round(us)));
}

function invalid(problem: string): TraceAnswer {
  return { kind: "invalid", problem };
}
