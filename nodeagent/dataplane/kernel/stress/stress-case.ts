/** What the writer and the readers of the stress test agree on. */
import { parseAddress, type Address } from "@weft/proto/address.ts";
import { frontendKey, type Frontend } from "../../../plan/frontend.ts";
import { Targets } from "../../../plan/targets.ts";
import type { ServicePlan } from "../../dataplane.ts";
import { frontendElement } from "../element-key.ts";

/** How the writer works. `hot`: the state table alone, as fast as it goes; the others: whole rounds. */
export const writings = ["hot", "rounds", "rollbacks", "killed"] as const;
export type Writing = (typeof writings)[number];

/** Ways to break the atomic step; each must be seen to fail. */
export const breakages = [
  "none",
  "no-second-look",
  "older-must-be-active",
  "no-grace",
  "zero-on-rollback",
  "twice-into-the-other",
] as const;
export type Breakage = (typeof breakages)[number];

export const stressLimits = { frontends: 65_536, backends: 262_144, services: 16 };

export interface StressFrontend {
  readonly address: Address;
  /** Port of its backends. */
  readonly number: number;
  /** Present in every revision. */
  readonly isSteady: boolean;
}

/** Two that are always there, one that changes its owner with every revision, one that comes and goes. */
export const stressFrontends: readonly StressFrontend[] = ["172.30.0.1", "172.30.0.2", "172.30.0.3", "172.30.0.4"].map(
  (text, i) => ({ address: addressOf(text), number: i + 1, isSteady: i < 3 }),
);

export function stressKey(of: StressFrontend): Uint8Array {
  const frontend = frontendOf(of, "a/s", 0);
  return frontendElement(frontend, frontendKey(frontend)).bytes;
}

/** The plans of a revision: every backend names it, so that a reader can tell. */
export function stressPlans(revision: number): ServicePlan[] {
  const [first, second, moving, rare] = stressFrontends;
  if (first === undefined || second === undefined || moving === undefined || rare === undefined) return [];
  const [owner, other] = revision % 2 === 0 ? ["a/even", "a/odd"] : ["a/odd", "a/even"];
  return [
    planOf("a/first", revision, [first]),
    planOf(other, revision, []),
    planOf(owner, revision, [moving]),
    planOf("a/second", revision, [second]),
    planOf("a/rare", revision, revision % 3 === 0 ? [rare] : []),
  ];
}

function planOf(service: string, revision: number, frontends: readonly StressFrontend[]): ServicePlan {
  return {
    service,
    frontends: frontends.map((of) => frontendOf(of, service, revision)),
    rejectAddresses: [],
    passAddresses: [],
  };
}

function frontendOf({ address, number }: StressFrontend, service: string, revision: number): Frontend {
  const backend = addressOf(`10.${(revision >> 16) & 255}.${(revision >> 8) & 255}.${revision & 255}`);
  return {
    address,
    port: 80,
    protocol: "UDP",
    scope: "internal",
    kind: "ClusterIP",
    servicePort: service,
    action: "forward",
    targets: Targets.of([{ address: backend, port: number }]),
    affinitySeconds: 0,
    sourceRanges: undefined,
  };
}

function addressOf(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}
