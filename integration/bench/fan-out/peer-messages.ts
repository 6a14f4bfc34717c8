/** Messages of the bare server: as many bytes as the control plane sends, in the form that its agents read. Pure. */
import { create, toBinary } from "@bufbuild/protobuf";
import { NodeViewSchema, SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { encodeSmallResponse } from "@weft/controlplane/fanout/responses.ts";
import { streamLimits } from "@weft/controlplane/fanout/stream-limits.ts";
import type { PeerSnapshot } from "./peer.ts";

const headerBytes = 5;
/** The revision at which everybody who comes is told to be. */
const head = 1;

/** Welcome, view and Synced of an agent that is up to date, as the control plane writes them. */
export const greeting = framed(
  encodeSmallResponse({
    welcome: { epoch: epoch(1_763_881_972_000, 1), historyKind: "memory", limits: streamLimits, version: "0.1.0" },
    nodeView: create(NodeViewSchema, { zone: "zone-a" }),
    synced: revision(head),
  }),
);

/** A delta of that size, without framing. */
export function deltaMessage(from: number, to: number, bytes: number): Buffer {
  return filled(bytes, (resource) => {
    const delta = { from: BigInt(from), to: BigInt(to), resources: [resource] };
    return toBinary(SyncResponseSchema, create(SyncResponseSchema, { delta }));
  });
}

/** The parts of a snapshot, `bytes` together. */
export function snapshotMessages({ bytes, partBytes }: PeerSnapshot): readonly Buffer[] {
  const parts = Math.ceil(bytes / partBytes);
  return Array.from({ length: parts }, (_, part) =>
    filled(Math.min(partBytes, bytes - part * partBytes), (resource) => {
      const delta = { to: BigInt(head), part, parts, scope: { everything: true }, resources: [resource] };
      return toBinary(SyncResponseSchema, create(SyncResponseSchema, { delta }));
    }),
  );
}

// One resource fills it up.
function filled(bytes: number, encode: (resource: Uint8Array) => Uint8Array): Buffer {
  const resource = new Uint8Array(bytes);
  // Fields 1 and 4 of Resource: an id, a name.
  resource.set([0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x22]);
  for (let length = bytes; length > 0; length--) {
    const encoded = encode(resource.subarray(0, length));
    if (encoded.length <= bytes) return framed(encoded);
  }
  throw new RangeError(`no delta has ${bytes} bytes`);
}

function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(headerBytes + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, headerBytes);
  return frame;
}
