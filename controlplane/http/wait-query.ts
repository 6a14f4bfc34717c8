/** Reads the query of `GET /v1/wait`. */
import { parseSocketAddress, printSocketAddress } from "@weft/proto/address.ts";
import { parseDuration } from "@weft/proto/program/flags.ts";
import type { BackendAddress } from "../fleet/choosability.ts";
import { everyNode } from "../fleet/quorum.ts";
import type { Quorum } from "../fleet/quorum.ts";
import { drainedMax, waitTimeoutMsDefault, waitTimeoutMsMax } from "../fleet/wait-request.ts";

export type ReadQuery =
  | {
      readonly kind: "wait";
      readonly backends: readonly BackendAddress[];
      readonly quorum: Quorum;
      readonly timeoutMs: number;
    }
  /** Names the parameter. */
  | { readonly kind: "invalid"; readonly problem: string };

const parameters = ["drained", "timeout", "quorum"];

export function readWaitQuery(query: URLSearchParams): ReadQuery {
  for (const name of query.keys()) {
    if (!parameters.includes(name))
      return invalid(`unknown parameter ${JSON.stringify(name)}; there are ${parameters.join(", ")}`);
  }
  const backends = new Map<string, BackendAddress>();
  const drained = query.getAll("drained");
  if (drained.length === 0) return invalid("drained is missing: give drained=IP:PORT, once per backend");
  if (drained.length > drainedMax) return invalid(`drained is given ${drained.length} times, at most ${drainedMax}`);
  for (const text of drained) {
    const backend = parseSocketAddress(text);
    if (backend === undefined)
      return invalid(`drained ${JSON.stringify(text)} is not IP:PORT, such as 10.0.0.1:80 or [fd00::1]:80`);
    backends.set(printSocketAddress(backend.address, backend.port), backend);
  }
  const repeated = ["timeout", "quorum"].find((name) => query.getAll(name).length > 1);
  if (repeated !== undefined) return invalid(`${repeated} is given twice`);
  const timeout = query.get("timeout") ?? undefined;
  const timeoutMs = timeout === undefined ? waitTimeoutMsDefault : parseDuration(timeout);
  if (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > waitTimeoutMsMax) {
    return invalid(`timeout ${JSON.stringify(timeout)} is not a duration up to 24h, such as 30s or 2m`);
  }
  const quorumText = query.get("quorum") ?? undefined;
  const quorum = quorumText === undefined ? everyNode : readQuorum(quorumText);
  if (quorum === undefined)
    return invalid(`quorum ${JSON.stringify(quorumText)} is not a number from 1 or a share from 1% to 100%`);
  return { kind: "wait", backends: [...backends.values()], quorum, timeoutMs };
}

function readQuorum(text: string): Quorum | undefined {
  const match = /^(\d{1,9})(%?)$/.exec(text);
  const number = Number(match?.[1] ?? 0);
  if (number < 1) return undefined;
  if (match?.[2] !== "%") return { kind: "nodes", nodes: number };
  return number <= 100 ? { kind: "percent", percent: number } : undefined;
}

function invalid(problem: string): ReadQuery {
  return { kind: "invalid", problem };
}
