/**
 * A second implementation of the rules of a Service (S1-S34), for tests only: from API objects to the answer for one flow, by
 * search, without index, order or memory. It must share nothing with what it checks. Addresses are canonical.
 */

export interface NaiveService {
  readonly namespace: string;
  readonly name: string;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly clusterIPs: readonly string[];
  readonly ports: readonly {
    readonly name?: string;
    readonly protocol?: string;
    readonly port: number;
    readonly nodePort?: number;
  }[];
  readonly externalIPs: readonly string[];
  readonly ingress: readonly { readonly ip?: string; readonly hostname?: string; readonly ipMode?: string }[];
  readonly externalTrafficPolicy?: string;
  readonly internalTrafficPolicy?: string;
  /** 0: sessionAffinity None. */
  readonly affinitySeconds: number;
  readonly loadBalancerSourceRanges: readonly string[];
}

export interface NaiveSlice {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addressType: string;
  readonly ports: readonly { readonly name?: string; readonly protocol?: string; readonly port: number | null }[];
  readonly endpoints: readonly {
    readonly addresses: readonly string[];
    readonly nodeName?: string;
    readonly conditions: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
    readonly forZones: readonly string[];
    readonly forNodes: readonly string[];
  }[];
}

export interface NaiveNode {
  readonly name: string;
  /** "": no label. */
  readonly zone: string;
  readonly internalIPs: readonly string[];
  readonly externalIPs: readonly string[];
}

export interface NaiveWorld {
  readonly services: readonly NaiveService[];
  readonly slices: readonly NaiveSlice[];
  readonly node: NaiveNode;
  readonly serviceCidrs: readonly string[];
  readonly clusterCidrs: readonly string[];
  /** Values of --nodeport-addresses. */
  readonly nodePortAddresses: readonly string[];
  readonly localAddresses: readonly string[];
  readonly localClusterIps: "pass" | "serve";
}

export interface NaiveFlow {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: string;
}

/** Everything of an answer but its reason. */
export interface NaiveAnswer {
  readonly verdict: string;
  readonly service: string | null;
  readonly frontend: string | null;
  readonly backends: readonly string[];
  readonly snat: boolean;
  readonly affinitySeconds: number;
}

interface NaiveClaim {
  readonly service: NaiveService;
  readonly port: NaiveService["ports"][number];
  readonly kind: string;
  readonly address: string;
  readonly number: number;
}

const kinds = ["ClusterIP", "LoadBalancerIP", "ExternalIP", "NodePort"];
const nothing = { service: null, frontend: null, backends: [], snat: false, affinitySeconds: 0 } as const;

export function naiveAnswer(world: NaiveWorld, flow: NaiveFlow): NaiveAnswer {
  const { node, clusterCidrs, serviceCidrs } = world;
  const isSix = flow.to.includes(":");
  // S8, S9
  const own = [...node.internalIPs, ...node.externalIPs];
  const isNode = own.includes(flow.from) || flow.from.startsWith("127.") || flow.from === "::1";
  const hasDetector = clusterCidrs.some((cidr) => cidr.includes(":") === isSix);
  const isExternal = !isNode && !clusterCidrs.some((cidr) => isInside(cidr, flow.from));
  const scope = isExternal ? "external" : "internal";
  const claim = naiveWinner(world, flow.to, flow.port, flow.protocol);
  const isClusterIp = servedBy(world).some(({ clusterIPs }) => clusterIPs.includes(flow.to));
  // S32
  const isPassed = isClusterIp && scope === "internal" && isPassedHere(world, flow.to);
  if (claim === undefined || (claim.kind === "ClusterIP" && isPassed) || (isLoopback(claim) && !isNode)) {
    if (isPassed) return { ...nothing, verdict: "pass" };
    // S6
    if (isClusterIp) return { ...nothing, verdict: "reject", frontend: "ClusterIP" };
    return { ...nothing, verdict: serviceCidrs.some((cidr) => isInside(cidr, flow.to)) ? "drop" : "pass" };
  }
  const { service, kind } = claim;
  const known = { service: printService(claim), frontend: kind, affinitySeconds: service.affinitySeconds };
  // S15
  if (kind === "LoadBalancerIP" && !isAllowed(service, node, flow.from))
    return { ...known, verdict: "drop", backends: [], snat: false };
  const { action, backends } = naiveDecision(world, claim, scope);
  // S10
  const isChanged = isExternal && (kind === "ClusterIP" ? hasDetector : !isExternalLocal(service));
  return { ...known, verdict: action, backends, snat: action === "forward" && isChanged };
}

/** Lines of `weft plan`, in any order. */
export function naivePlanLines(world: NaiveWorld): readonly string[] {
  const seen = new Map<string, NaiveClaim>();
  for (const claim of claimsOf(world)) {
    const protocol = claim.port.protocol ?? "TCP";
    const winner = naiveWinner(world, claim.address, claim.number, protocol);
    if (winner !== undefined) seen.set(`${claim.address} ${claim.number} ${protocol}`, winner);
  }
  const lines: string[] = [];
  for (const claim of seen.values()) {
    for (const scope of ["external", "internal"]) {
      if (scope === "external" && isLoopback(claim)) continue;
      if (scope === "internal" && claim.kind === "ClusterIP" && isPassedHere(world, claim.address)) continue;
      const { action, backends } = naiveDecision(world, claim, scope);
      lines.push(
        JSON.stringify({
          address: claim.address,
          port: claim.number,
          protocol: claim.port.protocol ?? "TCP",
          kind: claim.kind,
          scope,
          service: printService(claim),
          action,
          backends,
          affinitySeconds: claim.service.affinitySeconds,
        }),
      );
    }
  }
  return lines;
}

// S12, S16
function servedBy({ services }: NaiveWorld): readonly NaiveService[] {
  return services.filter(
    ({ type, labels, clusterIPs, loadBalancerSourceRanges }) =>
      type !== "ExternalName" &&
      !Object.hasOwn(labels, "service.kubernetes.io/service-proxy-name") &&
      clusterIPs.length > 0 &&
      clusterIPs[0] !== "None" &&
      loadBalancerSourceRanges.every((range) => !range.includes("nonsense")),
  );
}

function claimsOf(world: NaiveWorld): readonly NaiveClaim[] {
  return servedBy(world).flatMap((service) =>
    service.ports.flatMap((port) => {
      const claim = (kind: string, number: number, addresses: readonly string[]): NaiveClaim[] =>
        addresses
          // S11
          .filter((address) => service.clusterIPs.some((ip) => ip.includes(":") === address.includes(":")))
          .map((address) => ({ service, port, kind, address, number }));
      // S17
      const vips = service.ingress.flatMap(({ ip, ipMode }) => (ip === undefined || ipMode === "Proxy" ? [] : [ip]));
      return [
        ...claim("ClusterIP", port.port, service.clusterIPs),
        ...claim("LoadBalancerIP", port.port, vips),
        ...claim("ExternalIP", port.port, service.externalIPs),
        ...(port.nodePort === undefined ? [] : claim("NodePort", port.nodePort, nodePortAddressesOf(world))),
      ];
    }),
  );
}

// S17, S18
function naiveWinner(world: NaiveWorld, address: string, port: number, protocol: string): NaiveClaim | undefined {
  const wanted = claimsOf(world).filter(
    (claim) => claim.address === address && claim.number === port && (claim.port.protocol ?? "TCP") === protocol,
  );
  for (const kind of kinds) {
    const ofKind = wanted.filter((claim) => claim.kind === kind);
    const names = ofKind.map(({ service }) => `${service.namespace}/${service.name}`).toSorted();
    // Within one service the smaller port name, the order of its ports on the wire.
    const ofFirst = ofKind.filter(({ service }) => `${service.namespace}/${service.name}` === names[0]);
    const portNames = ofFirst.map((claim) => claim.port.name ?? "").toSorted();
    const winner = ofFirst.find((claim) => (claim.port.name ?? "") === portNames[0]);
    if (winner !== undefined) return winner;
  }
  return undefined;
}

// S8
function nodePortAddressesOf({ node, nodePortAddresses }: NaiveWorld): readonly string[] {
  const own = [...new Set([...node.internalIPs, ...node.externalIPs])];
  const selected = own.filter((address) => {
    const isFamily = (other: string): boolean => other.includes(":") === address.includes(":");
    const cidrs = nodePortAddresses.filter((value) => value.includes("/") && isFamily(value));
    const isPrimary = nodePortAddresses.includes("primary");
    if (cidrs.length === 0 && !isPrimary) return true;
    return (isPrimary && own.find(isFamily) === address) || cidrs.some((cidr) => isInside(cidr, address));
  });
  return nodePortAddresses.includes("loopback") ? [...selected, "127.0.0.1"] : selected;
}

function isLoopback({ kind, address }: NaiveClaim): boolean {
  return kind === "NodePort" && address === "127.0.0.1";
}

function isPassedHere(world: NaiveWorld, address: string): boolean {
  if (world.localClusterIps === "serve") return false;
  const isAsked = servedBy(world).some(
    ({ clusterIPs, annotations }) => clusterIPs.includes(address) && annotations["weft.dev/node-local"] === "pass",
  );
  return isAsked || world.localAddresses.includes(address);
}

function isAllowed(service: NaiveService, node: NaiveNode, from: string): boolean {
  const ranges = service.loadBalancerSourceRanges.filter((range) => range.includes(":") === from.includes(":"));
  if (ranges.length === 0 || ranges.some((range) => isInside(range, from))) return true;
  const primary = [...node.internalIPs, ...node.externalIPs].find((ip) => ip.includes(":") === from.includes(":"));
  const isOwn = service.ingress.some(({ ip, ipMode }) => ip === from && ipMode !== "Proxy");
  return isOwn && primary !== undefined && ranges.some((range) => isInside(range, primary));
}

// S13
function isExternalLocal(service: NaiveService): boolean {
  const counts = service.type !== "ClusterIP" || service.externalIPs.length > 0;
  return counts && service.externalTrafficPolicy === "Local";
}

// S13, S19, S23, S24
function naiveDecision(
  world: NaiveWorld,
  claim: NaiveClaim,
  scope: string,
): { readonly action: string; readonly backends: readonly string[] } {
  const { node } = world;
  const all = endpointsOf(world, claim);
  const isReady = (of: NaiveEndpoint): boolean => of.conditions.ready ?? true;
  const isFallback = (of: NaiveEndpoint): boolean =>
    !isReady(of) && (of.conditions.serving ?? true) && (of.conditions.terminating ?? false);
  const isLocal =
    claim.kind === "ClusterIP"
      ? claim.service.internalTrafficPolicy === "Local"
      : scope === "external" && isExternalLocal(claim.service);
  const from = isLocal ? all.filter(({ nodeName }) => nodeName === node.name) : all;
  let chosen = from.filter(isReady);
  if (chosen.length === 0) chosen = from.filter(isFallback);
  else if (!isLocal) {
    const forNode = chosen.filter(({ forNodes }) => forNodes.includes(node.name));
    const forZone = chosen.filter(({ forZones }) => node.zone !== "" && forZones.includes(node.zone));
    if (forNode.length > 0 && chosen.every(({ forNodes }) => forNodes.length > 0)) chosen = forNode;
    else if (forZone.length > 0 && chosen.every(({ forZones }) => forZones.length > 0)) chosen = forZone;
  }
  const backends = [...new Set(chosen.map(({ text }) => text))].toSorted();
  if (backends.length > 0) return { action: "forward", backends };
  return { action: all.some((of) => isReady(of) || isFallback(of)) ? "drop" : "reject", backends };
}

type NaiveEndpoint = NaiveSlice["endpoints"][number] & { readonly text: string };

// S20, S21, S25
function endpointsOf(world: NaiveWorld, { service, port, address }: NaiveClaim): readonly NaiveEndpoint[] {
  const copies = world.slices
    .filter(
      ({ namespace, labels, addressType }) =>
        namespace === service.namespace &&
        labels["kubernetes.io/service-name"] === service.name &&
        !Object.hasOwn(labels, "service.kubernetes.io/headless") &&
        addressType === (address.includes(":") ? "IPv6" : "IPv4"),
    )
    .flatMap((slice) =>
      slice.ports
        .filter(
          (own) =>
            own.port !== null &&
            (own.name ?? "") === (port.name ?? "") &&
            (own.protocol ?? "TCP") === (port.protocol ?? "TCP"),
        )
        .flatMap((own) =>
          slice.endpoints.map((endpoint, i) => {
            const ip = endpoint.addresses[0] ?? "";
            const text = ip.includes(":") ? `[${ip}]:${own.port}` : `${ip}:${own.port}`;
            return { ...endpoint, text, slice: slice.name, i };
          }),
        ),
    );
  return [...new Set(copies.map(({ text }) => text))].flatMap((text) => {
    let left = copies.filter((copy) => copy.text === text);
    const prefer = (isBetter: (of: NaiveEndpoint) => boolean): void => {
      const better = left.filter(isBetter);
      if (better.length > 0) left = better;
    };
    prefer(({ conditions }) => conditions.terminating !== true);
    prefer(({ nodeName }) => nodeName === world.node.name);
    prefer(({ nodeName }) => nodeName !== undefined);
    prefer(({ conditions }) => conditions.ready !== false);
    prefer(({ conditions }) => conditions.serving !== false);
    const [first] = left.toSorted((a, b) => (a.slice === b.slice ? a.i - b.i : a.slice < b.slice ? -1 : 1));
    return first === undefined ? [] : [first];
  });
}

function printService({ service, port }: NaiveClaim): string {
  const name = `${service.namespace}/${service.name}`;
  return (port.name ?? "") === "" ? name : `${name}:${port.name}`;
}

function isInside(cidr: string, address: string): boolean {
  const [range = "", length = ""] = cidr.split("/");
  if (range.includes(":") !== address.includes(":")) return false;
  const shift = BigInt((address.includes(":") ? 128 : 32) - Number(length));
  return numberOf(range) >> shift === numberOf(address) >> shift;
}

function numberOf(address: string): bigint {
  if (!address.includes(":")) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: missing }, () => "0"), ...groups(tail)];
  return all.reduce((sum, part) => sum * 65_536n + BigInt(`0x${part}`), 0n);
}
