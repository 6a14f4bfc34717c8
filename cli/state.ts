/** What a control plane holds, read whole. */
import { fromBinary } from "@bufbuild/protobuf";
import type { NodeAddresses, NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import {
  ResourceSchema,
  type Backend,
  type Resource,
  type Service,
} from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import type { FleetClient } from "./fleet-client.ts";

export interface State {
  /** Undefined if no node was asked for. */
  readonly nodeView: NodeView | undefined;
  readonly addresses: NodeAddresses | undefined;
  readonly services: readonly Service[];
  readonly backends: readonly Backend[];
  /** Values of Name resources by their id. */
  readonly names: ReadonlyMap<bigint, string>;
}

/**
 * @param node "": resources only
 * @throws ProgramError if it cannot be asked, does not know the node, or answers what cannot be decoded
 */
export async function readState(client: FleetClient, node: string): Promise<State> {
  let nodeView: NodeView | undefined;
  let addresses: NodeAddresses | undefined;
  const services: Service[] = [];
  const backends: Backend[] = [];
  const names = new Map<bigint, string>();
  for await (const message of client.getState(node)) {
    nodeView ??= message.nodeView;
    addresses ??= message.addresses;
    for (const bytes of message.delta?.resources ?? []) {
      const { id, kind } = decode(bytes, client.target);
      if (kind.case === "service") services.push(kind.value);
      else if (kind.case === "backend") backends.push(kind.value);
      else if (kind.case === "name") names.set(id, kind.value.value);
    }
  }
  return { nodeView, addresses, services, backends, names };
}

function decode(bytes: Uint8Array, target: string): Resource {
  try {
    return fromBinary(ResourceSchema, bytes);
  } catch (cause) {
    const message = `control plane ${target} sent a resource of ${bytes.length} bytes that cannot be decoded`;
    throw new ProgramError("failed", message, { remedy: "check that it and weft are of neighbouring versions", cause });
  }
}
