/** Values of the wire as people and programs read them. */
import { addressFromBytes } from "@weft/proto/address.ts";
import { epoch, printEpoch } from "@weft/proto/cursor.ts";
import type { Epoch } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Prefix, Protocol } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { protocolName } from "@weft/nodeagent/plan/claim.ts";

/** `<ms>-<8 hex>`; "" for none. */
export function printWireEpoch(of: Epoch | undefined): string {
  return of === undefined ? "" : printEpoch(epoch(of.createdMs, of.random));
}

export function printWireProtocol(of: Protocol): string {
  return protocolName(of) ?? String(of);
}

export function printWirePrefix(of: Prefix): string {
  return `${addressFromBytes(of.address)}/${of.length}`;
}

/** "850 us", "1.2 ms", "3.4 s". */
export function printMicroseconds(us: number): string {
  if (us < 1_000) return `${us} us`;
  return us < 1_000_000 ? `${(us / 1_000).toFixed(1)} ms` : `${(us / 1_000_000).toFixed(1)} s`;
}
