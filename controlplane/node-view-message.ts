/** The NodeView of compile as the protocol's message. */
import { create } from "@bufbuild/protobuf";
import { addressBytes } from "@weft/proto/address.ts";
import { NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeView as NodeViewMessage } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeView } from "./compile/node-views.ts";

export function nodeViewMessage(view: NodeView): NodeViewMessage {
  const serviceCidrs = view.serviceCidrs.map(({ address, length }) => ({ address: addressBytes(address), length }));
  return create(NodeViewSchema, { zone: view.zone, serviceCidrs });
}
