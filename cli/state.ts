/** What a control plane holds, read whole. */
import { fromBinary } from "@bufbuild/protobuf";
import type { NodeAddresses, NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { ResourceSchema, type Backend, type Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
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

/** @param node "": resources only */
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
      const { id, kind } = fromBinary(ResourceSchema, bytes);
      if (kind.case === "service") services.push(kind.value);
      else if (kind.case === "backend") backends.push(kind.value);
      else if (kind.case === "name") names.set(id, kind.value.value);
    }
  }
  return { nodeView, addresses, services, backends, names };
}
