/** How what a dataplane was given for a service differs from its plan. Pure. */
import { printPrefix, type Prefix } from "@weft/proto/address.ts";
import { frontendKey, type Action, type Frontend } from "../plan/frontend.ts";
import type { Target, Targets } from "../plan/targets.ts";
import type { ServicePlan } from "./dataplane.ts";

export interface PlanDifference {
  readonly kind: "missing" | "surplus" | "differs";
  /** "ns/name:portName", or "ns/name". */
  readonly servicePort: string;
  /** "address port protocol scope", or an address. */
  readonly entry: string;
  /** What is not as planned, for people. */
  readonly what: string;
}

/** Of a list of backends that differs. */
const targetsSaidMax = 4;

/** Empty: nothing differs. The order of frontends and of addresses means nothing. */
export function planDifferences(given: ServicePlan, plan: ServicePlan): PlanDifference[] {
  if (isSamePlan(given, plan)) return [];
  const differences: PlanDifference[] = [];
  const left = new Map(given.frontends.map((frontend) => [frontendKey(frontend), frontend]));
  for (const wanted of plan.frontends) {
    const entry = frontendKey(wanted);
    const has = left.get(entry);
    left.delete(entry);
    const { servicePort } = wanted;
    if (has === undefined) differences.push({ kind: "missing", servicePort, entry, what: "planned, not applied" });
    else if (!isSameFrontend(has, wanted)) {
      differences.push({ kind: "differs", servicePort, entry, what: whatDiffers(has, wanted) });
    }
  }
  for (const [entry, { servicePort }] of left)
    differences.push({ kind: "surplus", servicePort, entry, what: "applied, not planned" });
  for (const list of ["rejectAddresses", "passAddresses"] as const) {
    const servicePort = plan.service;
    const whole = list === "passAddresses" ? "the whole address is passed" : "its other ports are rejected";
    for (const entry of plan[list])
      if (!given[list].includes(entry))
        differences.push({ kind: "missing", servicePort, entry, what: `${whole}: planned, not applied` });
    for (const entry of given[list])
      if (!plan[list].includes(entry))
        differences.push({ kind: "surplus", servicePort, entry, what: `${whole}: applied, not planned` });
  }
  return differences;
}

/** What a frontend does, but for its key. */
export type FrontendContent = Pick<
  Frontend,
  "kind" | "servicePort" | "affinitySeconds" | "sourceRanges" | "targets"
> & { readonly action: Action | "pass" };

/** Undefined: nothing. */
export function contentDifference(has: FrontendContent, wanted: FrontendContent): string | undefined {
  return isSameContent(has, wanted) ? undefined : whatDiffers(has, wanted);
}

// Without a key: nearly always nothing differs, and the order is the same.
function isSamePlan(given: ServicePlan, plan: ServicePlan): boolean {
  const { frontends } = given;
  if (frontends.length !== plan.frontends.length) return false;
  for (let i = 0; i < frontends.length; i++) {
    const [has, wanted] = [frontends[i], plan.frontends[i]];
    if (has === undefined || wanted === undefined || !isSameFrontend(has, wanted)) return false;
  }
  return isSameList(given.rejectAddresses, plan.rejectAddresses) && isSameList(given.passAddresses, plan.passAddresses);
}

function isSameFrontend(a: Frontend, b: Frontend): boolean {
  const isSameKey = a.address === b.address && a.port === b.port && a.protocol === b.protocol && a.scope === b.scope;
  return isSameKey && isSameContent(a, b);
}

function isSameContent(a: FrontendContent, b: FrontendContent): boolean {
  return (
    a.kind === b.kind &&
    a.servicePort === b.servicePort &&
    a.affinitySeconds === b.affinitySeconds &&
    a.action === b.action &&
    a.targets.equals(b.targets) &&
    printRanges(a.sourceRanges) === printRanges(b.sourceRanges)
  );
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((one, i) => one === b[i]);
}

function whatDiffers(has: FrontendContent, wanted: FrontendContent): string {
  const said: string[] = [];
  for (const field of ["kind", "servicePort", "affinitySeconds", "action"] as const)
    if (has[field] !== wanted[field]) said.push(`${field} ${has[field]}, planned ${wanted[field]}`);
  const [ranges, wantedRanges] = [printRanges(has.sourceRanges), printRanges(wanted.sourceRanges)];
  if (ranges !== wantedRanges) said.push(`source ranges ${ranges}, planned ${wantedRanges}`);
  if (!has.targets.equals(wanted.targets)) said.push(targetsDifference(has.targets, wanted.targets));
  return said.join("; ");
}

function targetsDifference(has: Targets, wanted: Targets): string {
  const [held, planned] = [has.map(printTarget), wanted.map(printTarget)];
  const [isHeld, isPlanned] = [new Set(held), new Set(planned)];
  const surplus = held.filter((target) => !isPlanned.has(target));
  const missing = planned.filter((target) => !isHeld.has(target));
  const said: string[] = [];
  if (surplus.length > 0) said.push(`backends applied, not planned: ${printSome(surplus)}`);
  if (missing.length > 0) said.push(`backends planned, not applied: ${printSome(missing)}`);
  return said.length > 0 ? said.join("; ") : "backends in another order";
}

function printSome(targets: readonly string[]): string {
  const more = targets.length - targetsSaidMax;
  return targets.slice(0, targetsSaidMax).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function printTarget({ address, port }: Target): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

// What was adopted may name them in another order.
function printRanges(ranges: readonly Prefix[] | undefined): string {
  return ranges === undefined ? "all" : ranges.map(printPrefix).toSorted().join();
}
