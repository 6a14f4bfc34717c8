/**
 * The plan of a whole node, kept up to date: a change of endpoints replans its service only; a change of what a service
 * claims replans also those that lose or win a frontend by it, in the same answer (S18). Its result is a function of the
 * input and the node, never of the order of calls.
 */
import { compareText, type Address } from "@weft/proto/address.ts";
import type { Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { ServicePlan } from "../dataplane/dataplane.ts";
import { ClaimBoard } from "./claim-board.ts";
import { claimsOf, clusterIps, compareClaims, servicePortName, type Claim } from "./claim.ts";
import type { PlanInput, PlanNode, ServiceView } from "./plan-input.ts";
import { planService, unsupportedNotice, type PlanNotice, type WonClaims } from "./plan-service.ts";

export interface PlanOutput {
  /** What changed or may have: each replaces what is held for its service. Together they are one activation. */
  readonly plans: readonly ServicePlan[];
  /** The full current list, ordered by service and category: not only those of `plans`. */
  readonly notices: readonly PlanNotice[];
}

/** A ClusterIP whose undefined ports one service rejects (S6). */
interface AddressClaim {
  readonly key: Address;
  readonly service: string;
  /** The service asks that it be passed (S32). */
  readonly isNodeLocalPass: boolean;
}

interface Planned {
  /** The version that `claims` were made from. */
  readonly service: Service;
  readonly claims: readonly Claim[];
  readonly addresses: readonly AddressClaim[];
}

export class NodePlanner {
  readonly #input: PlanInput;
  #node: PlanNode;
  readonly #planned = new Map<string, Planned>();
  readonly #frontends = new ClaimBoard<Claim>(compareClaims);
  readonly #addresses = new ClaimBoard<AddressClaim>(compareAddressClaims);
  readonly #notices = new Map<string, readonly PlanNotice[]>();
  #sortedNotices: readonly PlanNotice[] | undefined = [];

  constructor(input: PlanInput, node: PlanNode) {
    this.#input = input;
    this.#node = node;
  }

  /** Plans services that were put or removed, or whose backends changed, since the last call. */
  touch(services: Iterable<string>): PlanOutput {
    const replan = new Set(services);
    // What claims changed here may change elsewhere; that never changes claims, so one pass reaches everything.
    const affected = new Set<string>();
    for (const name of replan) this.#updateClaims(name, affected);
    for (const name of affected) replan.add(name);
    return { plans: Array.from(replan, (name) => this.#plan(name)), notices: this.#allNotices() };
  }

  /** Plans everything that there is, and empties what is gone. */
  replanAll(): PlanOutput {
    return this.touch(new Set([...this.#planned.keys(), ...this.#input.serviceNames()]));
  }

  /** The node's zone, addresses or switches changed: plans what depends on them. */
  setNode(node: PlanNode): PlanOutput {
    const before = this.#node;
    this.#node = node;
    if (before.id !== node.id || before.localClusterIps !== node.localClusterIps)
      return this.#reclaim([...this.#planned.keys()]);
    const hasZoneChanged = before.zone !== node.zone;
    const haveAddressesChanged =
      !isSameList(before.addresses, node.addresses) || !isSameList(before.nodePortAddresses, node.nodePortAddresses);
    const dependent: string[] = [];
    for (const [name, { service, addresses }] of this.#planned) {
      const isByAddress = haveAddressesChanged && dependsOnAddresses(service);
      const isByLocal = addresses.some(({ key }) => before.localAddresses.has(key) !== node.localAddresses.has(key));
      if (isByAddress || isByLocal || (hasZoneChanged && this.#dependsOnZone(name))) dependent.push(name);
    }
    return this.#reclaim(dependent);
  }

  /** Services that claim something. */
  serviceNames(): Iterable<string> {
    return this.#planned.keys();
  }

  /**
   * For an audit: plans a service from `view`, and from what others claim. Undefined: what is remembered of its claims, or of who holds
   * them, is wrong. Only while no change of the input waits to be touched.
   */
  check(name: string, view: ServiceView | undefined): ServicePlan | undefined {
    const planned = this.#planned.get(name);
    const fresh = view === undefined ? undefined : this.#claim(view.service);
    if (!isSameClaims(planned, fresh) || (planned !== undefined && !this.#isOnBoards(planned))) return undefined;
    return view === undefined || planned === undefined
      ? emptyPlan(name)
      : planService(view, this.#wonBy(planned), this.#node);
  }

  /** Makes anew what is remembered of its claims, and of who holds them. Whom that concerns: they must be touched. */
  correct(name: string, view: ServiceView | undefined): ReadonlySet<string> {
    const affected = new Set([name]);
    const planned = this.#planned.get(name);
    const fresh = view === undefined ? undefined : this.#claim(view.service);
    for (const claims of [planned, fresh]) if (claims !== undefined) this.#clearBoards(name, claims, affected);
    this.#planned.delete(name);
    if (fresh !== undefined) this.#remember(name, fresh, affected);
    return affected;
  }

  // True if every claim is there, and nobody holds it by a claim that no service makes.
  #isOnBoards({ claims, addresses }: Planned): boolean {
    const isRight = <T extends Claim | AddressClaim>(board: ClaimBoard<T>, claim: T): boolean => {
      const holder = board.holder(claim.key);
      return board.has(claim) && (holder === claim || (holder !== undefined && this.#isMade(holder)));
    };
    return (
      claims.every((claim) => isRight(this.#frontends, claim)) &&
      addresses.every((claim) => isRight(this.#addresses, claim))
    );
  }

  // By a service that is planned.
  #isMade(claim: Claim | AddressClaim): boolean {
    const { claims = [], addresses = [] } = this.#planned.get(claim.service) ?? {};
    return [...claims, ...addresses].includes(claim);
  }

  #clearBoards(name: string, { claims, addresses }: Planned, affected: Set<string>): void {
    const clear = <T extends Claim | AddressClaim>(board: ClaimBoard<T>, { key }: T): void => {
      board.forget(key, name, affected);
      for (let holder = board.holder(key); holder !== undefined && !this.#isMade(holder); holder = board.holder(key))
        board.forget(key, holder.service, affected);
    };
    for (const claim of claims) clear(this.#frontends, claim);
    for (const claim of addresses) clear(this.#addresses, claim);
  }

  #reclaim(names: readonly string[]): PlanOutput {
    const affected = new Set(names);
    for (const name of names) this.#release(name, affected);
    return this.touch(affected);
  }

  #updateClaims(name: string, affected: Set<string>): void {
    const service = this.#input.serviceByName(name)?.service;
    if (service !== undefined && this.#planned.get(name)?.service === service) return;
    this.#release(name, affected);
    if (service !== undefined) this.#remember(name, this.#claim(service), affected);
  }

  #claim(service: Service): Planned {
    const { name, nodeLocalPass: isNodeLocalPass } = service;
    const addresses = clusterIps(service).map((key): AddressClaim => ({ key, service: name, isNodeLocalPass }));
    return { service, claims: claimsOf(service, this.#node), addresses };
  }

  #remember(name: string, planned: Planned, affected: Set<string>): void {
    for (const claim of planned.claims) this.#frontends.add(claim, affected);
    for (const claim of planned.addresses) this.#addresses.add(claim, affected);
    this.#planned.set(name, planned);
  }

  #release(name: string, affected: Set<string>): void {
    const planned = this.#planned.get(name);
    if (planned === undefined) return;
    for (const claim of planned.claims) this.#frontends.remove(claim, affected);
    for (const claim of planned.addresses) this.#addresses.remove(claim, affected);
    this.#planned.delete(name);
  }

  #plan(name: string): ServicePlan {
    const view = this.#input.serviceByName(name);
    const planned = this.#planned.get(name);
    if (view === undefined || planned === undefined) {
      this.#setNotices(name, []);
      return emptyPlan(name);
    }
    const notices: PlanNotice[] = [];
    for (const claim of planned.claims) {
      const holder = this.#frontends.holder(claim.key);
      // One service port that reaches an address by two ways is one frontend, of the first kind (S17): nothing is lost.
      if (holder !== undefined && (holder.service !== name || holder.portIndex !== claim.portIndex)) {
        notices.push(this.#conflict(claim, holder));
      }
    }
    const unsupported = unsupportedNotice(view);
    if (unsupported !== undefined) notices.push(unsupported);
    this.#setNotices(name, notices);
    return planService(view, this.#wonBy(planned), this.#node);
  }

  #wonBy({ claims, addresses }: Planned): WonClaims {
    const held = addresses.filter((claim) => this.#addresses.holder(claim.key) === claim);
    const passed = addresses.filter(({ key }) => this.#isPassed(key));
    return {
      claims: claims.filter((claim) => this.#frontends.holder(claim.key) === claim),
      clusterIps: held.map(({ key }) => key),
      passed: new Set(passed.map(({ key }) => key)),
    };
  }

  // A ClusterIP that two services claim is passed for both if one of them asks for it: its claim comes first.
  #isPassed(address: Address): boolean {
    if (this.#node.localClusterIps !== "pass") return false;
    return this.#node.localAddresses.has(address) || this.#addresses.holder(address)?.isNodeLocalPass === true;
  }

  #conflict(lost: Claim, holder: Claim): PlanNotice {
    const reason =
      `${lost.kind} ${lost.address} port ${lost.port}/${lost.protocol} of service ${this.#servicePort(lost)} is refused: ` +
      `service ${this.#servicePort(holder)} holds it as ${holder.kind}; change the address or port of one of them`;
    return { service: lost.service, category: "conflict", reason };
  }

  #servicePort(of: Claim): string {
    const planned = this.#planned.get(of.service);
    return planned === undefined ? of.service : servicePortName(planned.service, of.portIndex);
  }

  #setNotices(name: string, notices: readonly PlanNotice[]): void {
    if (notices.length === 0 && !this.#notices.has(name)) return;
    if (notices.length === 0) this.#notices.delete(name);
    else this.#notices.set(name, notices);
    this.#sortedNotices = undefined;
  }

  #allNotices(): readonly PlanNotice[] {
    this.#sortedNotices ??= [...this.#notices.values()].flat().toSorted(compareNotices);
    return this.#sortedNotices;
  }

  #dependsOnZone(name: string): boolean {
    for (const backend of this.#input.serviceByName(name)?.backends ?? [])
      if (backend.zoneHints.length > 0) return true;
    return false;
  }
}

/** The plan of everything, once. */
export function planOnce(input: PlanInput, node: PlanNode): PlanOutput {
  return new NodePlanner(input, node).replanAll();
}

function dependsOnAddresses(service: Service): boolean {
  return service.loadBalancerSourceRanges.length > 0 || service.ports.some(({ nodePort }) => nodePort !== 0);
}

function compareAddressClaims(a: AddressClaim, b: AddressClaim): number {
  return Number(b.isNodeLocalPass) - Number(a.isNodeLocalPass) || compareText(a.service, b.service);
}

function emptyPlan(service: string): ServicePlan {
  return { service, frontends: [], rejectAddresses: [], passAddresses: [] };
}

function isSameClaims(a: Planned | undefined, b: Planned | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.claims.length === b.claims.length &&
    a.addresses.length === b.addresses.length &&
    a.claims.every((claim, i) => isSameClaim(claim, b.claims[i])) &&
    a.addresses.every(
      ({ key, isNodeLocalPass }, i) =>
        key === b.addresses[i]?.key && isNodeLocalPass === b.addresses[i]?.isNodeLocalPass,
    )
  );
}

function isSameClaim(a: Claim, b: Claim | undefined): boolean {
  return a.key === b?.key && a.service === b.service && a.portIndex === b.portIndex && a.kind === b.kind;
}

function compareNotices(a: PlanNotice, b: PlanNotice): number {
  return compareText(a.service, b.service) || compareText(a.category, b.category) || compareText(a.reason, b.reason);
}

function isSameList(a: readonly Address[], b: readonly Address[]): boolean {
  return a.length === b.length && a.every((address, i) => address === b[i]);
}
