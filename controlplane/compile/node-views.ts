/** What differs per node and is not a resource: its zone and the service CIDRs. Also what the source knows of nodes. */
import { addressBytes, compareBytes } from "@weft/proto/address.ts";
import type { Prefix } from "@weft/proto/address.ts";
import type { NodeRecord, ServiceCidrRecord } from "../source/source.ts";

export interface NodeView {
  /** "": none. */
  readonly zone: string;
  /** Sorted, without repeats. */
  readonly serviceCidrs: readonly Prefix[];
}

/** Nodes whose view changed; "all": also of nodes without a Node object. */
export type NodeViewsChanged = "all" | ReadonlySet<string>;

export class NodeViews {
  readonly #nodes = new Map<string, NodeRecord>();
  readonly #cidrs = new Map<string, ServiceCidrRecord>();
  readonly #configured: readonly Prefix[];
  #serviceCidrs: readonly Prefix[];
  #changed: Set<string> | "all" = new Set();

  /** @param configured the flags --service-cidr; they count beside the ServiceCIDR objects. */
  constructor(configured: readonly Prefix[]) {
    this.#configured = configured;
    this.#serviceCidrs = sorted(configured);
  }

  nodes(): ReadonlyMap<string, NodeRecord> {
    return this.#nodes;
  }

  serviceCidrs(): readonly Prefix[] {
    return this.#serviceCidrs;
  }

  viewOf(node: string): NodeView {
    return { zone: this.#nodes.get(node)?.zone ?? "", serviceCidrs: this.#serviceCidrs };
  }

  putNode(record: NodeRecord): void {
    if (this.viewOf(record.name).zone !== record.zone) this.#touch(record.name);
    this.#nodes.set(record.name, record);
  }

  removeNode(name: string): void {
    if (this.viewOf(name).zone !== "") this.#touch(name);
    this.#nodes.delete(name);
  }

  putServiceCidr(record: ServiceCidrRecord): void {
    this.#cidrs.set(record.name, record);
    this.#updateCidrs();
  }

  removeServiceCidr(name: string): void {
    this.#cidrs.delete(name);
    this.#updateCidrs();
  }

  /** The views that changed since this was called last. */
  takeChanged(): NodeViewsChanged {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  #touch(node: string): void {
    if (this.#changed !== "all") this.#changed.add(node);
  }

  #updateCidrs(): void {
    const next = sorted([...this.#configured, ...[...this.#cidrs.values()].flatMap((record) => record.cidrs)]);
    const isSame =
      next.length === this.#serviceCidrs.length &&
      next.every((cidr, i) => comparePrefixes(cidr, this.#serviceCidrs[i] ?? cidr) === 0);
    this.#serviceCidrs = next;
    if (!isSame) this.#changed = "all";
  }
}

function sorted(prefixes: readonly Prefix[]): readonly Prefix[] {
  return prefixes.toSorted(comparePrefixes).filter((prefix, i, all) => {
    const before = all[i - 1];
    return before === undefined || comparePrefixes(before, prefix) !== 0;
  });
}

function comparePrefixes(a: Prefix, b: Prefix): number {
  return compareBytes(addressBytes(a.address), addressBytes(b.address)) || a.length - b.length;
}
