/** Reads what an agent says: by hand what comes by the thousand, all else with protobuf-es. */
import { fromBinary } from "@bufbuild/protobuf";
import { SyncRequestSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { readPlainAck } from "./read-ack.ts";
import { readPlainDigests } from "./read-digests.ts";
import type { AgentRequest } from "./reported-digests.ts";

/** @throws Error if it is malformed. */
export function readRequest(bytes: Uint8Array): AgentRequest {
  const ack = readPlainAck(bytes);
  if (ack !== undefined) return { message: { case: "ack", value: ack } };
  const digests = readPlainDigests(bytes);
  if (digests !== undefined) return { message: { case: "reported", value: digests } };
  return fromBinary(SyncRequestSchema, bytes);
}
