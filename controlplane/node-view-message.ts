/** The NodeView of compile as the protocol's message: one for all nodes of a zone, so that what is made of it is made once. */
import { create } from "@bufbuild/protobuf";
import { addressBytes } from "@weft/proto/address.ts";
import type { Prefix } from "@weft/proto/address.ts";
import { NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeView as NodeViewMessage } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeView } from "./compile/node-views.ts";

/** Messages kept; beyond it they are made anew. */
const zonesMax = 1_024;

export class NodeViewMessages {
  readonly #byZone = new Map<string, NodeViewMessage>();
  // Of those that are kept.
  #serviceCidrs: readonly Prefix[] | undefined;

  of({ zone, serviceCidrs }: NodeView): NodeViewMessage {
    if (serviceCidrs !== this.#serviceCidrs || this.#byZone.size >= zonesMax) this.#byZone.clear();
    this.#serviceCidrs = serviceCidrs;
    const known = this.#byZone.get(zone);
    if (known !== undefined) return known;
    const prefixes = serviceCidrs.map(({ address, length }) => ({ address: addressBytes(address), length }));
    const made = create(NodeViewSchema, { zone, serviceCidrs: prefixes });
    this.#byZone.set(zone, made);
    return made;
  }
}
