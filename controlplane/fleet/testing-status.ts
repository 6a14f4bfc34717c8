/** For tests: what a fleet would say of itself, as a caller reads it. */
import { fromBinary } from "@bufbuild/protobuf";
import { GetStatusResponseSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { FleetStatus } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { encodedStatus } from "./fleet-status.ts";
import type { Fleet } from "./fleet.ts";

export function fleetStatus(fleet: Fleet, nowMs: number, isWithoutNodes = false): FleetStatus {
  const { status } = fromBinary(GetStatusResponseSchema, encodedStatus(fleet, nowMs, isWithoutNodes));
  if (status === undefined) throw new Error("a status without a status");
  return status;
}
