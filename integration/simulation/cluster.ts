/** What the API holds in a simulation: some services with endpoints, and the nodes. Changed at random. */
import { parseAddress } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import type { RecordChange, SourceRecord } from "@weft/controlplane/source/source.ts";
import type { Random } from "./random.ts";

const servicesMax = 14;
const endpointsMax = 4;
const zones = ["", "a", "b"] as const;
const port = 8080;

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
  records(): readonly RecordChange[] {
    const nodes = Array.from(this.#zones, ([name, zone]): SourceRecord => ({
      kind: "Node",
      name,
      zone,
      addresses: [],
    }));
    const services = [...this.#services.keys()].flatMap((number) => this.#recordsOf(number));
    return [...nodes, ...services].map((record) => ({ op: "put", record }));
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

  /** What there is left of it for an API server that lost nearly everything. */
  remains(): readonly RecordChange[] {
    const [first] = this.#services.keys();
    return this.records().filter(
      (change) =>
        change.op === "put" &&
        (change.record.kind === "Node" || (first !== undefined && change.record.name.startsWith(nameOf(first)))),
    );
  }

  /** What a relist of an API server that lost nearly everything says; it is there again at the next change of each. */
  loss(): readonly RecordChange[] {
    const lost = [...this.#services.keys()].slice(0, Math.ceil(this.#services.size * 0.8));
    return lost.flatMap((number) => this.#removal(number));
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

  #recordsOf(number: number): readonly SourceRecord[] {
    const service = this.#services.get(number);
    if (service === undefined) return [];
    const nodes = [...this.#zones.keys()];
    return [
      {
        kind: "Service",
        name: nameOf(number),
        type: "ClusterIP",
        ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }],
        clusterIps: [addressed(`10.96.0.${number + 1}`)],
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
        name: `${nameOf(number)}-a`,
        service: nameOf(number),
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

function nameOf(number: number): string {
  return `default/web-${number}`;
}

function addressOf(number: number, last: number): Address {
  return addressed(`10.244.${number}.${last}`);
}

function addressed(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(`not an address: ${text}`);
  return parsed;
}
