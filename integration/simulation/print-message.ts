/** One line for a message, for traces of a run. */
import type { SyncRequest, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";

export function printRequest({ message }: SyncRequest): string {
  switch (message.case) {
    case "hello": {
      const { cursor, digest } = message.value;
      return `Hello cursor=${cursor === undefined ? "none" : `${cursor.epoch?.createdMs}.${cursor.revision}`} digest=${short(digest)}`;
    }
    case "ack": {
      const { revision, digest, heartbeat, failures } = message.value;
      return `Ack ${revision} digest=${short(digest)} heartbeat=${heartbeat} failures=${failures.length}`;
    }
    case "digests": {
      const { revision, buckets, resources, last } = message.value;
      return `Digests at ${revision}: ${buckets.length} sums, ${resources.length} hashes${last ? ", the last" : ""}`;
    }
    case undefined:
      return "nothing";
  }
}

export function printResponse(message: SyncResponse): string {
  const { welcome, nodeView, delta, synced, heartbeat, digestQuery, goaway } = message;
  const said: string[] = [];
  if (welcome !== undefined) said.push(`Welcome ${welcome.epoch?.createdMs}`);
  if (nodeView !== undefined) said.push("NodeView");
  if (delta !== undefined) {
    const { from, to, part, parts, scope, removed, resources, massRemovalConfirmed } = delta;
    const kind = from !== undefined ? `delta from ${from}` : scope?.everything === true ? "snapshot" : "repair";
    said.push(
      `${kind} to ${to}, part ${part + 1} of ${Math.max(1, parts)}: ${resources.length} puts, ${removed.length} removed` +
        (massRemovalConfirmed ? ", confirmed" : ""),
    );
  }
  if (synced !== undefined) said.push(`Synced ${synced.revision}`);
  if (heartbeat !== undefined)
    said.push(`Heartbeat ${heartbeat.sequence} head=${heartbeat.revision} digest=${short(heartbeat.digest)}`);
  if (digestQuery !== undefined)
    said.push(`DigestQuery ${digestQuery.allBuckets ? "sums" : digestQuery.buckets.length}`);
  if (goaway !== undefined) said.push(`Goaway ${goaway.message} retry after ${goaway.retryAfterMs} ms`);
  return said.join("; ");
}

function short(digest: bigint | undefined): string {
  return digest === undefined ? "none" : digest.toString(16).padStart(16, "0").slice(0, 6);
}
