/**
 * The port between the agent and what packets hit. Three implementations: kernel (eBPF maps), memory (for hosts without
 * BPF and for tests, with real capacities), and faulty (a seeded wrapper for tests).
 */
import type { Address, Prefix } from "@weft/proto/address.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import type { Frontend } from "../plan/frontend.ts";
import type { PlanDifference } from "./plan-difference.ts";

/** Everything the node should hold for one service from now on. Replaces what it held before. */
export interface ServicePlan {
  /** "ns/name". */
  readonly service: string;
  /** Empty: the service is gone. A frontend is in the plan of at most one service (S18 is decided in the plan). */
  readonly frontends: readonly Frontend[];
  /** ClusterIPs whose undefined ports are rejected in both scopes (S6). An address is in the plan of at most one service. */
  readonly rejectAddresses: readonly Address[];
  /**
   * ClusterIPs that are passed in the internal scope (S32): `frontends` has none of them there, and neither the reject of undefined
   * ports nor the drop of a service CIDR may catch them; frontends of other kinds on the same address are served. In the
   * external scope their undefined ports are rejected. Not in `rejectAddresses`; in the plan of at most one service.
   */
  readonly passAddresses: readonly Address[];
}

/** One activation. */
export interface Round {
  /** The catalog position that is live once this round is active. */
  readonly cursor: Cursor;
  /** Touched services. One that loses a frontend and one that wins it are in the same round. */
  readonly services: readonly ServicePlan[];
  /** All service CIDRs, where unassigned addresses drop (S6); undefined: unchanged. */
  readonly serviceCidrs: readonly Prefix[] | undefined;
}

export type DataplaneFailure = {
  /** "ns/name"; "": the whole node. */
  readonly service: string;
  readonly category: "capacity" | "kernel" | "unsupported";
  /** What, where and what to do. */
  readonly reason: string;
};

export interface RoundResult {
  /** The full current list, not only those of this round; ordered by service. */
  readonly failures: readonly DataplaneFailure[];
  readonly stageUs: number;
}

/** What a restarted agent finds live. */
export interface Adopted {
  /** Undefined: nothing was ever activated. */
  readonly cursor: Cursor | undefined;
}

export interface Limit {
  readonly name: "frontends" | "backends" | "services";
  readonly used: number;
  readonly max: number;
}

/** Something that was not as this agent wrote it. */
export interface AuditFinding {
  /** Name of the map. */
  readonly map: string;
  readonly kind: "missing" | "surplus" | "differs";
  /** "ns/name"; "": of no service. */
  readonly service: string;
  /** Frontend, address or range, as a person would name it. */
  readonly entry: string;
  /** Undefined: it is repaired. Else why not; the next pass tries again. */
  readonly failure: string | undefined;
}

export interface AuditStep {
  readonly findings: readonly AuditFinding[];
  /** Everything was looked at once; the next step begins again. */
  readonly isEnd: boolean;
}

export interface Dataplane extends AsyncDisposable {
  /** Takes over what an earlier agent left live, or starts empty. Called once, first. */
  open(): Promise<Adopted>;
  /**
   * Stages the round, calls `beforeActivate` (the journal is written there), activates, and resolves once it is active.
   * What the old revision held is released later. Rounds never overlap. A service that does not fit is quarantined and named
   * in `failures`; throws only if nothing can be activated at all.
   */
  apply(round: Round, beforeActivate: () => void): Promise<RoundResult>;
  /**
   * Everything it should hold, after a restart: like `apply` of all services, and what is held for services not named is
   * removed in the same activation. Elements that are already right are not touched.
   */
  replaceAll(round: Round, beforeActivate: () => void): Promise<RoundResult>;
  /** What packets can hit there, for `weft-agent dump`, in any order. */
  dump(): readonly Frontend[];
  limits(): readonly Limit[];
  /**
   * Compares the next `entriesMax` entries or a few more with what was written, and repairs what differs by the rules of a round.
   * Does not wait, so it never runs within the staging of a round.
   */
  audit(entriesMax: number): AuditStep;
  /** Entries of one whole audit, about. */
  auditSize(): number;
  /**
   * How what it was last given for a service differs from `plan`, as far as it serves such frontends: what waits for room counts as
   * given. Not within a round.
   */
  compare(plan: ServicePlan): readonly PlanDifference[];
  /** Services of which it holds something or was given something that waits; one may come several times. May change while it is read. */
  services(): Iterable<string>;
}
