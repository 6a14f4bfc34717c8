/** Where a connection comes from (S9), and what follows from it for its scope (S3). */
import { familyOf, type Address, type Prefix } from "@weft/proto/address.ts";
import type { Scope } from "../frontend.ts";
import { RangeSet } from "./range-set.ts";

export interface FlowSource {
  readonly kind: "node" | "pod" | "external";
  readonly scope: Scope;
  /** A cluster CIDR of this family is known. Without one a pod cannot be told from outside. */
  readonly hasDetector: boolean;
}

export class FlowSources {
  readonly #nodeAddresses: ReadonlySet<Address>;
  readonly #clusterCidrs: RangeSet;

  constructor(nodeAddresses: readonly Address[], clusterCidrs: readonly Prefix[]) {
    this.#nodeAddresses = new Set(nodeAddresses);
    this.#clusterCidrs = new RangeSet(clusterCidrs);
  }

  of(address: Address): FlowSource {
    const hasDetector = this.#clusterCidrs.hasFamily(familyOf(address));
    if (this.#nodeAddresses.has(address) || isLoopback(address))
      return { kind: "node", scope: "internal", hasDetector };
    if (this.#clusterCidrs.contains(address)) return { kind: "pod", scope: "internal", hasDetector };
    return { kind: "external", scope: "external", hasDetector };
  }
}

export function isLoopback(address: Address): boolean {
  return address.startsWith("127.") || address === "::1";
}
