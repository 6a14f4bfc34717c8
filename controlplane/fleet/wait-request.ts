/** Reads a `WaitRequest`: from the wire's optional fields to checked values, or which field is wrong. */
import { addressFromBytes, printSocketAddress } from "@weft/proto/address.ts";
import { epoch as makeEpoch, revision } from "@weft/proto/cursor.ts";
import type { Epoch } from "@weft/proto/cursor.ts";
import type { Quorum as QuorumMessage, WaitRequest } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { BackendAddress } from "./choosability.ts";
import { everyNode } from "./quorum.ts";
import type { Quorum } from "./quorum.ts";
import type { WaitTarget } from "./wait.ts";

export const waitTimeoutMsMax = 24 * 3_600_000;
export const waitTimeoutMsDefault = 30_000;
/** Backends of one wait. */
export const drainedMax = 256;

export type ReadWait =
  | { readonly kind: "wait"; readonly target: WaitTarget; readonly quorum: Quorum; readonly timeoutMs: number }
  /** Names the field. */
  | { readonly kind: "invalid"; readonly problem: string };

/** `current`: the epoch of a revision that names none. */
export function readWaitRequest(request: WaitRequest, current: Epoch): ReadWait {
  const target = readTarget(request, current);
  if (typeof target === "string") return { kind: "invalid", problem: target };
  const quorum = readQuorum(request.quorum);
  if (typeof quorum === "string") return { kind: "invalid", problem: quorum };
  if (request.timeoutMs > waitTimeoutMsMax) {
    return { kind: "invalid", problem: `timeout_ms: ${request.timeoutMs} is more than 24 h (${waitTimeoutMsMax})` };
  }
  return {
    kind: "wait",
    target,
    quorum,
    timeoutMs: request.timeoutMs === 0 ? waitTimeoutMsDefault : request.timeoutMs,
  };
}

function readTarget({ cursor, drained }: WaitRequest, current: Epoch): WaitTarget | string {
  if ((cursor === undefined) === (drained.length === 0)) return "cursor, drained: exactly one of them must be set";
  if (cursor !== undefined) {
    if (cursor.revision < 1n || cursor.revision > Number.MAX_SAFE_INTEGER) return "cursor.revision: must be at least 1";
    if (cursor.epoch !== undefined && cursor.epoch.createdMs > Number.MAX_SAFE_INTEGER) {
      return "cursor.epoch.created_ms: is out of range";
    }
    const epoch = cursor.epoch === undefined ? current : makeEpoch(cursor.epoch.createdMs, cursor.epoch.random);
    return { kind: "revision", epoch, revision: revision(cursor.revision) };
  }
  if (drained.length > drainedMax) return `drained: at most ${drainedMax}, not ${drained.length}`;
  const backends = new Map<string, BackendAddress>();
  for (const [i, { address: bytes, port }] of drained.entries()) {
    if (bytes.length !== 4 && bytes.length !== 16)
      return `drained[${i}].address: has 4 or 16 bytes, not ${bytes.length}`;
    if (port < 1 || port > 65_535) return `drained[${i}].port: is from 1 to 65535, not ${port}`;
    const address = addressFromBytes(bytes);
    backends.set(printSocketAddress(address, port), { address, port });
  }
  return { kind: "drained", backends: [...backends.values()] };
}

function readQuorum(quorum: QuorumMessage | undefined): Quorum | string {
  switch (quorum?.kind.case) {
    case "nodes":
      return quorum.kind.value >= 1 ? { kind: "nodes", nodes: quorum.kind.value } : "quorum.nodes: must be at least 1";
    case "percent": {
      const percent = quorum.kind.value;
      return percent >= 1 && percent <= 100 ? { kind: "percent", percent } : "quorum.percent: is from 1 to 100";
    }
    case undefined:
      return everyNode;
  }
}
