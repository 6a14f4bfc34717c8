/**
 * What a node's dataplane should hold: frontends, and what each does. The output of planning and the input of every dataplane.
 */
import type { Address, Prefix } from "@weft/proto/address.ts";
import type { Targets } from "./targets.ts";

export type ProtocolName = "TCP" | "UDP" | "SCTP";
export type FrontendKind = "ClusterIP" | "NodePort" | "ExternalIP" | "LoadBalancerIP";
export type Scope = "external" | "internal";
export type Action = "forward" | "reject" | "drop";

/** One (address, port, protocol, scope) and what it does. Immutable. */
export interface Frontend {
  readonly address: Address;
  readonly port: number;
  readonly protocol: ProtocolName;
  readonly scope: Scope;
  readonly kind: FrontendKind;
  /** "ns/name:portName" or "ns/name" (S1). */
  readonly servicePort: string;
  readonly action: Action;
  /** Without repeats, ordered by (address bytes, port), all of the frontend's family; empty unless action is forward. Frontends of one service port share the list. */
  readonly targets: Targets;
  /** 0: None. */
  readonly affinitySeconds: number;
  /** Allowed sources; undefined: all (S15). */
  readonly sourceRanges: readonly Prefix[] | undefined;
}

/** "ns/name" of a service port. */
export function serviceOf(servicePort: string): string {
  const colon = servicePort.indexOf(":");
  return colon < 0 ? servicePort : servicePort.slice(0, colon);
}

/** "address port protocol scope": the identity of a frontend in maps. */
export function frontendKey(of: Pick<Frontend, "address" | "port" | "protocol" | "scope">): string {
  return `${of.address} ${of.port} ${of.protocol} ${of.scope}`;
}
