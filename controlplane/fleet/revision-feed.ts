/** Commits, acks and convergence as messages, with the last revisions kept for those who come later. */
import { create } from "@bufbuild/protobuf";
import { WatchRevisionsResponseSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { WatchRevisionsResponse } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { FleetEvent } from "./fleet-event.ts";

/** Revisions kept, with their convergence; acks are not kept. */
export const revisionsPastMax = 64;

export class RevisionFeed {
  // Per revision, oldest first: its commit, then its convergence.
  readonly #past = new Map<bigint, WatchRevisionsResponse[]>();

  /** The message of an event; undefined if there is none. */
  take(event: FleetEvent): WatchRevisionsResponse | undefined {
    const message = messageOf(event);
    if (message?.event.case === "commit") {
      this.#past.set(message.event.value.revision, [message]);
      for (const oldest of this.#past.keys()) {
        if (this.#past.size <= revisionsPastMax) break;
        this.#past.delete(oldest);
      }
    } else if (message?.event.case === "convergence") {
      this.#past.get(message.event.value.revision)?.push(message);
    }
    return message;
  }

  /** Messages of the last `revisions` revisions, oldest first. */
  past(revisions: number): readonly WatchRevisionsResponse[] {
    return revisions === 0 ? [] : [...this.#past.values()].slice(-revisions).flat();
  }
}

function messageOf(event: FleetEvent): WatchRevisionsResponse | undefined {
  switch (event.kind) {
    case "commit": {
      const { commit, bytes, services, nowUs } = event;
      const value = {
        revision: BigInt(commit.revision),
        puts: commit.puts.length,
        removals: commit.removals.length,
        bytes: BigInt(bytes),
        committedAtUs: BigInt(Math.round(nowUs)),
        services: [...services],
      };
      return create(WatchRevisionsResponseSchema, { event: { case: "commit", value } });
    }
    case "ack": {
      const { node, ack, isNew, commitToAckUs } = event;
      if (!isNew) return undefined;
      const value = {
        node: node.name,
        revision: BigInt(node.applied),
        commitToAckUs: BigInt(Math.max(0, Math.round(commitToAckUs ?? 0))),
        ...(ack.durations === undefined ? {} : { durations: ack.durations }),
        failuresTotal: node.failuresTotal,
      };
      return create(WatchRevisionsResponseSchema, { event: { case: "ack", value } });
    }
    case "converged": {
      const { revision, percent, elapsedUs, nodes } = event.converged;
      const value = {
        revision: BigInt(revision),
        percent,
        elapsedUs: BigInt(Math.max(0, Math.round(elapsedUs))),
        nodes,
      };
      return create(WatchRevisionsResponseSchema, { event: { case: "convergence", value } });
    }
    case "epoch":
    case "flushed":
    case "status":
    case "connected":
    case "disconnected":
    case "asked":
    case "answered":
      return undefined;
  }
}
