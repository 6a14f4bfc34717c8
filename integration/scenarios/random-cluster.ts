/**
 * Random clusters as API objects, for tests that compare what packets hit with what a plan from nothing says. Everything
 * a manifest may hold is mixed: types, dual stack, named ports, copies across slices, conditions, hints, policies, ranges.
 */

export interface Random {
  /** Integer from 0 to `below` - 1. */
  int(below: number): number;
  chance(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
}

/** Mulberry32: small, seeded, good enough to vary tests. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    int: (below) => Math.floor(next() * below),
    chance: (probability) => next() < probability,
    pick: (from) => {
      const picked = from[Math.floor(next() * from.length)];
      if (picked === undefined) throw new RangeError("nothing to pick from");
      return picked;
    },
  };
}

export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

export const nodeNames = ["node-a", "node-b", "node-c"] as const;
const zones = ["zone-1", "zone-2", ""] as const;
/** "" stands for an absent field. */
const protocols = ["TCP", "TCP", "TCP", "UDP", "UDP", "SCTP", ""] as const;

/** Addresses of a node, as its Node object has them. */
export function nodeAddresses(name: string): readonly string[] {
  const number = nodeNames.findIndex((other) => other === name) + 1;
  return [`192.0.2.${number}`, `2001:db8::${number}`];
}

export function nodeObjects(): ApiObject[] {
  return nodeNames.map((name, i) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: zones[i] === "" ? {} : { "topology.kubernetes.io/zone": zones[i] } },
    status: {
      addresses: [
        { type: "Hostname", address: name },
        ...nodeAddresses(name).map((address) => ({ type: "InternalIP", address })),
      ],
    },
  }));
}

/** Service number `index` and its slices. The same index has the same identity and addresses, so a later draw replaces it. */
export function serviceObjects(random: Random, index: number): ApiObject[] {
  const namespace = `ns-${index % 3}`;
  const name = `svc-${index}`;
  const families = random.pick([["IPv4"], ["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"]] as const);
  const type = random.pick(["ClusterIP", "ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"] as const);
  const portCount = 1 + random.int(3);
  const ports = Array.from({ length: portCount }, (_, i) => ({
    ...(portCount > 1 || random.chance(0.3) ? { name: `p${i}` } : {}),
    port: 80 + i,
    ...optional("protocol", random.pick(protocols)),
    ...(type === "ClusterIP" ? {} : { nodePort: 30_000 + index * 4 + i }),
  }));
  const clusterIPs = families.map((family) =>
    family === "IPv4" ? `172.30.${index >> 8}.${index & 255}` : `fd30::${index.toString(16)}:1`,
  );
  const service: ApiObject = {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name,
      namespace,
      ...(random.chance(0.05) ? { labels: { "service.kubernetes.io/service-proxy-name": "" } } : {}),
    },
    spec: {
      type,
      clusterIP: clusterIPs[0],
      ...(clusterIPs.length > 1 || random.chance(0.5) ? { clusterIPs } : {}),
      ports,
      ...(random.chance(0.2) ? { internalTrafficPolicy: "Local" } : {}),
      ...(type !== "ClusterIP" && random.chance(0.4) ? { externalTrafficPolicy: "Local" } : {}),
      ...(random.chance(0.2) ? { sessionAffinity: "ClientIP" } : {}),
      ...(random.chance(0.2) ? { externalIPs: [`198.51.100.${index % 250}`] } : {}),
      ...(type === "LoadBalancer" && random.chance(0.3) ? { loadBalancerSourceRanges: ["203.0.113.000/025"] } : {}),
    },
    ...(type === "LoadBalancer" ? { status: { loadBalancer: { ingress: [{ ip: `203.0.113.${index % 250}` }] } } } : {}),
  };
  return [service, ...sliceObjects(random, index, namespace, name, families, ports)];
}

function sliceObjects(
  random: Random,
  index: number,
  namespace: string,
  name: string,
  families: readonly string[],
  ports: readonly { readonly name?: string; readonly protocol?: string }[],
): ApiObject[] {
  return families.flatMap((family) =>
    Array.from({ length: random.int(3) }, (_, i): ApiObject => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: `${name}-${family.toLowerCase()}-${i}`,
        namespace,
        labels: {
          "kubernetes.io/service-name": name,
          ...(random.chance(0.05) ? { "service.kubernetes.io/headless": "" } : {}),
        },
      },
      addressType: family,
      ports: ports.map((port) => ({
        ...optional("name", port.name),
        ...optional("protocol", port.protocol),
        port: random.chance(0.05) ? null : 8080 + random.int(2),
      })),
      endpoints: Array.from({ length: random.int(5) }, () => endpoint(random, family, index)),
    })),
  );
}

function endpoint(random: Random, family: string, index: number): object {
  // Few addresses, so that copies across slices and ports disagree often.
  const host = 1 + random.int(6);
  return {
    addresses: [family === "IPv4" ? `10.244.${index & 255}.${host}` : `fd44::${index.toString(16)}:${host}`],
    ...(random.chance(0.7) ? { conditions: conditions(random) } : {}),
    ...(random.chance(0.8) ? { nodeName: random.pick(nodeNames) } : {}),
    ...(random.chance(0.5) ? { zone: random.pick(["zone-1", "zone-2"]) } : {}),
    ...(random.chance(0.6)
      ? {
          hints: {
            forZones: [{ name: random.pick(["zone-1", "zone-2"]) }],
            ...(random.chance(0.3) ? { forNodes: [{ name: random.pick(nodeNames) }] } : {}),
          },
        }
      : {}),
  };
}

function conditions(random: Random): object {
  return random.pick([
    { ready: true },
    { ready: true, serving: true, terminating: false },
    { ready: false },
    { ready: false, serving: true, terminating: true },
    { ready: false, serving: false, terminating: true },
    { ready: null, serving: null, terminating: null },
  ]);
}

// An absent field, where the API has a default, if `value` is empty.
function optional<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined || value === "" ? {} : ({ [key]: value } as { [P in K]?: string });
}
