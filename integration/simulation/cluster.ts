/** What the API holds in a simulation: some services with endpoints, and the nodes. Changed at random. */
import { parseAddress } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import type { RecordChange, SourceRecord } from "@weft/controlplane/source/source.ts";
import type { Random } from "./random.ts";

const servicesMax = 14;
const endpointsMax = 4;
const zones = ["", "a", "b"] as const;
const port = 8080;
const home = "default";

interface SimulatedService {
  /** Last byte of each endpoint's address, to whether it is ready. */
  readonly endpoints: Map<number, boolean>;
  affinitySeconds: number;
}

export class SimulatedCluster {
  readonly #services = new Map<number, SimulatedService>();
  readonly #zones = new Map<string, string>();
  readonly #random: Random;

  constructor(nodes: readonly string[], random: Random) {
    this.#random = random;
    for (const node of nodes) this.#zones.set(node, random.oneOf(zones));
    for (let number = 0; number < random.integer(4, servicesMax); number++) this.#services.set(number, this.#service());
  }

  /** Everything that there is. */
  records(): readonly SourceRecord[] {
    return [...this.#nodeRecords(), ...[...this.#services.keys()].flatMap((number) => this.#recordsOf(number))];
  }

  /** Names of the services that there are. */
  services(): readonly string[] {
    return Array.from(this.#services.keys(), (number) => nameOf(number));
  }

  /** Something changes. */
  change(): readonly RecordChange[] {
    const random = this.#random;
    const number = random.integer(0, servicesMax - 1);
    const service = this.#services.get(number);
    const chance = random.next();
    if (service === undefined) {
      this.#services.set(number, this.#service());
    } else if (chance < 0.15) {
      this.#services.delete(number);
      return this.#removal(number);
    } else if (chance < 0.25) {
      service.affinitySeconds = random.integer(0, 1) * 60;
    } else if (chance < 0.33) {
      const node = random.oneOf([...this.#zones.keys()]);
      this.#zones.set(node, random.oneOf(zones));
      return [{ op: "put", record: { kind: "Node", name: node, zone: this.#zones.get(node) ?? "", addresses: [] } }];
    } else {
      this.#changeEndpoints(service);
    }
    return this.#recordsOf(number).map((record) => ({ op: "put", record }));
  }

  /** What there is left of it for an API server that lost a good part of it, or nearly everything. */
  remains(): readonly SourceRecord[] {
    const kept = [...this.#services.keys()].filter(() => this.#random.isTrue(0.3));
    return [...this.#nodeRecords(), ...kept.flatMap((number) => this.#recordsOf(number))];
  }

  /** What another cluster holds, as a wrong kubeconfig finds it: the same nodes, as many services, none of them the same. */
  others(): readonly SourceRecord[] {
    return [
      ...this.#nodeRecords(),
      ...[...this.#services.keys()].flatMap((number) => this.#recordsOf(number, "other")),
    ];
  }

  /** An endpoint, "ip:port", that some service has. */
  endpoint(): { readonly address: Address; readonly port: number } | undefined {
    const numbers = [...this.#services].filter(([, { endpoints }]) => endpoints.size > 0);
    if (numbers.length === 0) return undefined;
    const [number, { endpoints }] = this.#random.oneOf(numbers);
    return { address: addressOf(number, this.#random.oneOf([...endpoints.keys()])), port };
  }

  /** Takes an endpoint out of its service. */
  drain(address: Address): readonly RecordChange[] {
    for (const [number, { endpoints }] of this.#services) {
      for (const last of endpoints.keys()) {
        if (addressOf(number, last) !== address) continue;
        endpoints.delete(last);
        return this.#recordsOf(number).map((record) => ({ op: "put", record }));
      }
    }
    return [];
  }

  #changeEndpoints({ endpoints }: SimulatedService): void {
    const random = this.#random;
    const last = random.integer(1, endpointsMax);
    if (!endpoints.has(last)) endpoints.set(last, true);
    else if (random.isTrue(0.5)) endpoints.delete(last);
    else endpoints.set(last, endpoints.get(last) !== true);
  }

  #service(): SimulatedService {
    const random = this.#random;
    const made: SimulatedService = { endpoints: new Map(), affinitySeconds: 0 };
    for (let i = random.integer(0, endpointsMax); i > 0; i--) made.endpoints.set(random.integer(1, endpointsMax), true);
    return made;
  }

  #nodeRecords(): readonly SourceRecord[] {
    return Array.from(this.#zones, ([name, zone]) => ({ kind: "Node", name, zone, addresses: [] }));
  }

  #recordsOf(number: number, namespace = home): readonly SourceRecord[] {
    const service = this.#services.get(number);
    if (service === undefined) return [];
    const nodes = [...this.#zones.keys()];
    return [
      {
        kind: "Service",
        name: nameOf(number, namespace),
        type: "ClusterIP",
        ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }],
        clusterIps: [addressed(`10.96.${namespace === home ? 0 : 1}.${number + 1}`)],
        externalIps: [],
        loadBalancerIps: [],
        externalTrafficPolicy: "Cluster",
        internalTrafficPolicy: "Cluster",
        affinitySeconds: service.affinitySeconds,
        loadBalancerSourceRanges: [],
        healthCheckNodePort: 0,
        isNodeLocalPass: false,
      },
      {
        kind: "EndpointSlice",
        name: `${nameOf(number, namespace)}-a`,
        service: nameOf(number, namespace),
        ports: [{ name: "", protocol: "TCP", number: port }],
        endpoints: Array.from(service.endpoints, ([last, isReady]) => ({
          address: addressOf(number, last),
          isReady,
          isServing: isReady,
          isTerminating: false,
          nodeName: nodes[last % nodes.length] ?? "",
          zone: "a",
          zoneHints: [],
          nodeHints: [],
        })),
      },
    ];
  }

  #removal(number: number): readonly RecordChange[] {
    return [
      { op: "remove", kind: "Service", name: nameOf(number) },
      { op: "remove", kind: "EndpointSlice", name: `${nameOf(number)}-a` },
    ];
  }
}

function nameOf(number: number, namespace = home): string {
  return `${namespace}/web-${number}`;
}

function addressOf(number: number, last: number): Address {
  return addressed(`10.244.${number}.${last}`);
}

function addressed(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(`not an address: ${text}`);
  return parsed;
}
