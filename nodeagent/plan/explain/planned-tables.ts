/** The plan of one node, by what a packet has: what the maps of a kernel are, for both scopes. */
import type { Address, Prefix } from "@weft/proto/address.ts";
import type { ServicePlan } from "../../dataplane/dataplane.ts";
import { frontendKey, type Frontend, type ProtocolName, type Scope } from "../frontend.ts";
import { RangeSet } from "./range-set.ts";

/** What stands first in the way of a packet (S6, S32). */
export type Hit =
  | { readonly kind: "frontend"; readonly service: string; readonly frontend: Frontend }
  /** A ClusterIP that the node itself holds, or whose service wants it passed. */
  | { readonly kind: "local-cluster-ip"; readonly service: string }
  /** A ClusterIP on a port or protocol that no service has there. */
  | { readonly kind: "undefined-port"; readonly service: string }
  /** Within a service CIDR, and no service's. */
  | { readonly kind: "unassigned" }
  /** A loopback address, asked for from elsewhere than the node: whose it is, no service is served there. */
  | { readonly kind: "foreign-loopback" }
  | { readonly kind: "nothing" };

export class PlannedTables {
  readonly #frontends = new Map<string, { readonly service: string; readonly frontend: Frontend }>();
  readonly #rejected = new Map<Address, string>();
  readonly #passed = new Map<Address, string>();
  readonly #serviceCidrs: RangeSet;

  constructor(plans: Iterable<ServicePlan>, serviceCidrs: readonly Prefix[]) {
    this.#serviceCidrs = new RangeSet(serviceCidrs);
    for (const { service, frontends, rejectAddresses, passAddresses } of plans) {
      for (const frontend of frontends) this.#frontends.set(frontendKey(frontend), { service, frontend });
      for (const address of rejectAddresses) this.#rejected.set(address, service);
      for (const address of passAddresses) this.#passed.set(address, service);
    }
  }

  find(to: { readonly address: Address; readonly port: number; readonly protocol: ProtocolName; scope: Scope }): Hit {
    const found = this.#frontends.get(frontendKey(to));
    if (found !== undefined) return { kind: "frontend", ...found };
    const passed = this.#passed.get(to.address);
    if (passed !== undefined && to.scope === "internal") return { kind: "local-cluster-ip", service: passed };
    const rejected = passed ?? this.#rejected.get(to.address);
    if (rejected !== undefined) return { kind: "undefined-port", service: rejected };
    return { kind: this.#serviceCidrs.contains(to.address) ? "unassigned" : "nothing" };
  }
}
