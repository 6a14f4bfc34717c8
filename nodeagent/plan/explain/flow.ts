/** A connection that is asked about, and what becomes of it. The answer's form is part of the contract with people's scripts. */
import type { Address } from "@weft/proto/address.ts";
import type { Action, FrontendKind, ProtocolName } from "../frontend.ts";

export interface Flow {
  /** Source, of the family of `to`. */
  readonly from: Address;
  readonly to: Address;
  readonly port: number;
  readonly protocol: ProtocolName;
}

/** "pass": not ours; the packet goes on as it is. */
export type Verdict = Action | "pass";

export interface FlowAnswer {
  readonly verdict: Verdict;
  /** "ns/name:port" (S1); null: none (S5). */
  readonly service: string | null;
  readonly frontend: FrontendKind | null;
  /** "ip:port", by text, without repeats; empty unless forward. */
  readonly backends: readonly string[];
  readonly snat: boolean;
  readonly affinitySeconds: number;
  /** What decided, in one line. */
  readonly reason: string;
}

/** One line of JSON without its line end, keys in the contract's order. */
export function flowAnswerLine(of: FlowAnswer): string {
  const { verdict, service, frontend, backends, snat, affinitySeconds, reason } = of;
  return JSON.stringify({ verdict, service, frontend, backends, snat, affinitySeconds, reason });
}
