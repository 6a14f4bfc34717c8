/** Where a connection would go on a node, and why: an answer for programs, and a trail for people. Pure. */
import { compareText, familyOf, printPrefix, printSocketAddress, type Prefix } from "@weft/proto/address.ts";
import type { Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Frontend } from "../frontend.ts";
import type { PlanInput, PlanNode } from "../plan-input.ts";
import { planOnce } from "../plan-node.ts";
import type { PlanNotice } from "../plan-service.ts";
import { decisionOf, type Decision, type LeftOut, type NameOf } from "./decision.ts";
import type { Flow, FlowAnswer } from "./flow.ts";
import { FlowSources, isLoopback, type FlowSource } from "./flow-source.ts";
import { PlannedTables, type Hit } from "./planned-tables.ts";
import { RangeSet } from "./range-set.ts";

/** What is known of the network beside the node. */
export interface ExplainedNetwork {
  /** Where pods are (S9). */
  readonly clusterCidrs: readonly Prefix[];
  /** Where an address that is no service's is dropped (S6). */
  readonly serviceCidrs: readonly Prefix[];
  readonly nameOf: NameOf;
}

/** One step of the way, in order. */
export interface TrailStep {
  readonly title: "source" | "frontend" | "ranges" | "policy" | "endpoints" | "affinity" | "source NAT" | "socket";
  readonly text: string;
}

export interface Trail {
  readonly steps: readonly TrailStep[];
  readonly leftOut: readonly LeftOut[];
}

/** What does not depend on the source of a flow. */
interface KnownFrontend {
  readonly service: Service;
  readonly backends: readonly string[];
  /** Undefined: every source is allowed. */
  readonly ranges: RangeSet | undefined;
  readonly decision: Decision;
}

export class Explainer {
  /** Of the plan that the answers come from. */
  readonly notices: readonly PlanNotice[];
  readonly #input: PlanInput;
  readonly #node: PlanNode;
  readonly #nameOf: NameOf;
  readonly #sources: FlowSources;
  readonly #tables: PlannedTables;
  // One entry for each frontend that was asked for.
  readonly #known = new Map<Frontend, KnownFrontend>();

  constructor(input: PlanInput, node: PlanNode, network: ExplainedNetwork) {
    const { plans, notices } = planOnce(input, node);
    this.notices = notices;
    this.#input = input;
    this.#node = node;
    this.#nameOf = network.nameOf;
    this.#sources = new FlowSources(node.addresses, network.clusterCidrs);
    this.#tables = new PlannedTables(plans, network.serviceCidrs);
  }

  answer(flow: Flow): FlowAnswer {
    const source = this.#sources.of(flow.from);
    const hit = this.#find(flow, source);
    if (hit.kind !== "frontend") return withoutFrontend(flow, source, hit);
    const { frontend } = hit;
    const { backends, decision, service, ranges } = this.#knowledgeOf(hit.service, frontend);
    const { servicePort, kind, affinitySeconds } = frontend;
    const named = { service: servicePort, frontend: kind, affinitySeconds };
    // Before endpoints (S15).
    if (ranges?.contains(flow.from) === false) {
      const reason = withDoubt(`source ${rangesText(frontend)}`, flow, source);
      return { ...named, verdict: "drop", backends: [], snat: false, reason };
    }
    const isForward = frontend.action === "forward";
    return {
      ...named,
      verdict: frontend.action,
      backends: isForward ? backends : [],
      snat: isForward && isSourceChanged(frontend, service, source),
      reason: withDoubt(`${decision.policy}; ${decision.choice}${unservedText(frontend, source)}`, flow, source),
    };
  }

  trail(flow: Flow): Trail {
    const source = this.#sources.of(flow.from);
    const hit = this.#find(flow, source);
    const steps: TrailStep[] = [{ title: "source", text: sourceText(flow, source) }];
    if (hit.kind !== "frontend") {
      steps.push({ title: "frontend", text: withoutFrontend(flow, source, hit).reason });
      if (hit.kind === "undefined-port" && source.scope === "internal") steps.push(socketStep("reject"));
      if (hit.kind === "unassigned" && source.scope === "internal") steps.push(socketStep("drop"));
      return { steps, leftOut: [] };
    }
    const { frontend } = hit;
    const { decision, service, ranges } = this.#knowledgeOf(hit.service, frontend);
    const where = `${printSocketAddress(frontend.address, frontend.port)}/${frontend.protocol}`;
    steps.push({ title: "frontend", text: `${frontend.kind} ${where} of service ${frontend.servicePort}` });
    if (ranges !== undefined) {
      const isAllowed = ranges.contains(flow.from);
      steps.push({ title: "ranges", text: `source ${isAllowed ? "is" : "is not"} in ${allowedText(frontend)}` });
      if (!isAllowed) {
        if (source.scope === "internal") steps.push({ title: "socket", text: blockedText });
        return { steps, leftOut: [] };
      }
    }
    steps.push({ title: "policy", text: decision.policy }, { title: "endpoints", text: decision.choice });
    if (frontend.action === "forward") {
      if (frontend.affinitySeconds > 0) {
        steps.push({ title: "affinity", text: `a client stays with its backend for ${frontend.affinitySeconds} s` });
      }
      steps.push({ title: "source NAT", text: sourceNatText(frontend, service, source) });
      const unserved = unservedText(frontend, source);
      if (unserved !== "") steps.push({ title: "socket", text: unserved.slice(2) });
    } else if (source.scope === "internal") {
      steps.push(socketStep(frontend.action));
    }
    return { steps, leftOut: decision.leftOut };
  }

  #find({ to, port, protocol }: Flow, { kind, scope }: FlowSource): Hit {
    // A pod's own loopback is its own (S8).
    if (isLoopback(to) && kind !== "node") return { kind: "foreign-loopback" };
    return this.#tables.find({ address: to, port, protocol, scope });
  }

  #knowledgeOf(serviceName: string, frontend: Frontend): KnownFrontend {
    const found = this.#known.get(frontend);
    if (found !== undefined) return found;
    const view = this.#input.serviceByName(serviceName);
    if (view === undefined) throw new RangeError(`a frontend of ${serviceName}, which is not in the input of the plan`);
    const { targets, sourceRanges } = frontend;
    const made: KnownFrontend = {
      service: view.service,
      backends: targets.map(({ address, port }) => printSocketAddress(address, port)).toSorted(compareText),
      ranges: sourceRanges === undefined ? undefined : new RangeSet(sourceRanges),
      decision: decisionOf(view, frontend, this.#node, this.#nameOf),
    };
    this.#known.set(frontend, made);
    return made;
  }
}

function withoutFrontend(flow: Flow, source: FlowSource, hit: Exclude<Hit, { kind: "frontend" }>): FlowAnswer {
  const nothing = { service: null, backends: [], snat: false, affinitySeconds: 0 } as const;
  switch (hit.kind) {
    case "local-cluster-ip": {
      const reason = `${flow.to} is a ClusterIP of ${hit.service} that this node passes: one of its devices has it, or the service asks for it`;
      return { ...nothing, verdict: "pass", frontend: null, reason };
    }
    case "undefined-port": {
      const reason = `${flow.port}/${flow.protocol} is no port of ${hit.service}, which has the ClusterIP ${flow.to}: rejected`;
      return { ...nothing, verdict: "reject", frontend: "ClusterIP", reason: withDoubt(reason, flow, source) };
    }
    case "unassigned": {
      const reason = `${flow.to} is in a service CIDR and no ClusterIP of a service: dropped`;
      return { ...nothing, verdict: "drop", frontend: null, reason };
    }
    case "foreign-loopback": {
      const reason = `${flow.to} is a loopback address, and ${flow.from} is not this node: passed as it is`;
      return { ...nothing, verdict: "pass", frontend: null, reason: withDoubt(reason, flow, source) };
    }
    case "nothing": {
      const to = `${printSocketAddress(flow.to, flow.port)}/${flow.protocol}`;
      return { ...nothing, verdict: "pass", frontend: null, reason: `no service has ${to}: passed as it is` };
    }
  }
}

// S10
function isSourceChanged({ kind }: Frontend, service: Service, { kind: from, hasDetector }: FlowSource): boolean {
  if (from !== "external") return false;
  return kind === "ClusterIP" ? hasDetector : !service.externalLocal;
}

function sourceNatText(frontend: Frontend, service: Service, source: FlowSource): string {
  if (source.kind !== "external") return "no: balanced at connect(), the source stays";
  if (frontend.kind === "ClusterIP") {
    return source.hasDetector
      ? "yes: a ClusterIP is reached from outside the cluster CIDR"
      : "no: without a cluster CIDR of this family no source of a ClusterIP is changed";
  }
  return service.externalLocal
    ? "no: externalTrafficPolicy Local keeps the source"
    : "yes: externalTrafficPolicy Cluster";
}

function sourceText({ from }: Flow, source: FlowSource): string {
  switch (source.kind) {
    case "node":
      return `${from} is this node: internal`;
    case "pod":
      return `${from} is a pod, inside a cluster CIDR: internal`;
    case "external":
      return source.hasDetector
        ? `${from} is outside of the node and the cluster CIDRs: external`
        : `${from} is taken as external: ${doubtText(from)}`;
  }
}

function withDoubt(reason: string, { from }: Flow, source: FlowSource): string {
  return source.kind === "external" && !source.hasDetector ? `${reason}; ${doubtText(from)}` : reason;
}

// S10: the kernel needs no CIDR to know its own sockets.
function doubtText(from: Flow["from"]): string {
  const family = familyOf(from);
  return `no cluster CIDR of IPv${family} is known, so only what arrives on a device is external; a socket of this node or its pods is always internal`;
}

/** Ranges in a text. */
const shownRangesMax = 5;

function allowedText({ sourceRanges = [] }: Frontend): string {
  const more = sourceRanges.length - shownRangesMax;
  const shown = sourceRanges.slice(0, shownRangesMax).map(printPrefix).join(", ");
  return `the allowed source ranges ${shown}${more > 0 ? ` and ${more} more` : ""}`;
}

function rangesText(frontend: Frontend): string {
  return `is not in ${allowedText(frontend)}: dropped`;
}

// S33
function unservedText({ protocol }: Frontend, { scope }: FlowSource): string {
  return protocol === "SCTP" && scope === "internal"
    ? "; planned but not served: the kernel runs no connect hook for SCTP"
    : "";
}

// S31
const blockedText = "a socket bound to this source fails at connect() with EHOSTUNREACH; any other times out";

function socketStep(action: "reject" | "drop"): TrailStep {
  const error = action === "reject" ? "ECONNREFUSED" : "EHOSTUNREACH";
  return { title: "socket", text: `connect() and sendmsg() fail at once with ${error}` };
}
