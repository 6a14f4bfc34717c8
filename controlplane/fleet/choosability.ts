/**
 * Which services hold an (address, port), and whether any of them can choose it in the head (DESIGN section 4 "Fleet", S23).
 *
 * The terminating fallback is decided per set: a backend that is serving and terminating can be chosen from the cluster set if
 * its service port has no ready backend of the family, and from the local set of its own node if that node has no ready one and
 * the service has a Local policy. A backend is in the local set of no other node, so the answer holds for every node.
 */
import { addressFromBytes } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Backend, BackendPort, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Commit, CompiledResource } from "../catalog/resource.ts";

/** The backend's address and target port number. */
export interface BackendAddress {
  readonly address: Address;
  readonly port: number;
}

export type Choosability =
  /** No service holds it. */
  | { readonly kind: "absent" }
  /** Held, and no service can choose it. */
  | { readonly kind: "drained" }
  /** Only because its set has no ready backend. */
  | { readonly kind: "fallback"; readonly service: string }
  | { readonly kind: "choosable"; readonly service: string };

/** Departures that are remembered, against nodes that failed to take a backend out. The oldest is forgotten first. */
const departuresMax = 65_536;

// Messages are decoded where an answer needs them: there are hundreds of thousands of backends, and few waits.
interface Holder {
  service: CompiledResource | undefined;
  readonly backends: Set<CompiledResource>;
}

export class ChoosabilityIndex {
  readonly #holders = new Map<bigint, Holder>();
  // Nearly every address is held by one backend.
  readonly #byAddress = new Map<Address, CompiledResource | Set<CompiledResource>>();
  // "service id|ip|port" -> the revision in which that service no longer held it. In order of that revision.
  readonly #departures = new Map<string, Revision>();

  /** @returns Ids of the services that this commit touched, with their names. */
  apply(commit: Commit): ReadonlyMap<bigint, string> {
    const touched = new Map<bigint, string>();
    const left: CompiledResource[] = [];
    for (const resource of commit.removals) this.#remove(resource, touched, left);
    for (const resource of commit.puts) {
      const replaced = commit.replaced.get(resource.id);
      // Defined by its own id and name only: what replaces a service is that service.
      if (replaced?.kind === "backend") this.#remove(replaced, touched, left);
      this.#put(resource, touched);
    }
    for (const resource of left) this.#noteDeparture(backendIn(resource), commit.revision);
    for (const id of touched.keys()) {
      const holder = this.#holders.get(id);
      if (holder?.service !== undefined) touched.set(id, holder.service.name);
      else if (holder?.backends.size === 0) this.#holders.delete(id);
    }
    return touched;
  }

  /** In the head. */
  of(target: BackendAddress): Choosability {
    let found: Choosability = { kind: "absent" };
    for (const backend of this.#at(target.address)) {
      for (const port of backend.ports) {
        if (port.number !== target.port) continue;
        const answer = this.#ofPort(backend, port);
        if (answer.kind === "choosable") return answer;
        if (answer.kind === "fallback" || found.kind === "absent") found = answer;
      }
    }
    return found;
  }

  /** Ids of the services that hold it in the head. */
  holders(target: BackendAddress): ReadonlySet<bigint> {
    const ids = new Set<bigint>();
    for (const backend of this.#at(target.address)) {
      if (backend.ports.some((port) => port.number === target.port)) ids.add(backend.service);
    }
    return ids;
  }

  /**
   * Whether the service holds it in the head or held it in any revision from `since` on: what a node may still choose that
   * ran the service well at `since` and failed on it later.
   */
  hasHeldSince(service: bigint, target: BackendAddress, since: Revision): boolean {
    const departed = this.#departures.get(departureKey(service, target));
    return (departed !== undefined && departed > since) || this.holders(target).has(service);
  }

  #ofPort(backend: Backend, port: BackendPort): Choosability {
    const holder = this.#holders.get(backend.service);
    const service = holder?.service === undefined ? undefined : serviceIn(holder.service);
    if (
      service === undefined ||
      !service.ports.some((own) => own.name === port.name && own.protocol === port.protocol)
    ) {
      return { kind: "drained" };
    }
    if (!backend.notReady) return { kind: "choosable", service: service.name };
    if (backend.notServing || !backend.terminating) return { kind: "drained" };
    // A local copy (S21) makes no cluster set but its own node's, and there may take away what another backend gives.
    const others = [...(holder?.backends ?? [])].map(backendIn);
    const replaced = replacedAddresses(others);
    let isClusterSetEmpty = true;
    let isLocalSetEmpty = true;
    for (const other of others) {
      if (other.notReady || other.address.length !== backend.address.length) continue;
      if (!other.ports.some((own) => own.name === port.name && own.protocol === port.protocol)) continue;
      if (!other.localCopy && !replaced.has(addressFromBytes(other.address))) isClusterSetEmpty = false;
      if (other.node === backend.node) isLocalSetEmpty = false;
      if (!isLocalSetEmpty) break;
    }
    const hasLocalSet = (service.internalLocal || service.externalLocal) && backend.node !== 0n;
    if (!isClusterSetEmpty && !(hasLocalSet && isLocalSetEmpty)) return { kind: "drained" };
    return { kind: "fallback", service: service.name };
  }

  *#at(address: Address): Iterable<Backend> {
    const held = this.#byAddress.get(address);
    if (held instanceof Set) for (const resource of held) yield backendIn(resource);
    else if (held !== undefined) yield backendIn(held);
  }

  #put(resource: CompiledResource, touched: Map<bigint, string>): void {
    if (resource.kind === "service") {
      touched.set(resource.id, resource.name);
      this.#holder(resource.id).service = resource;
      return;
    }
    const { service, address } = resource;
    if (service === undefined || address === undefined) return;
    touched.set(service, touched.get(service) ?? "");
    this.#holder(service).backends.add(resource);
    const held = this.#byAddress.get(address);
    if (held === undefined) this.#byAddress.set(address, resource);
    else if (held instanceof Set) held.add(resource);
    else this.#byAddress.set(address, new Set([held, resource]));
  }

  #remove(resource: CompiledResource, touched: Map<bigint, string>, left: CompiledResource[]): void {
    if (resource.kind === "service") {
      touched.set(resource.id, resource.name);
      this.#holder(resource.id).service = undefined;
      return;
    }
    const { service, address } = resource;
    if (service === undefined || address === undefined) return;
    touched.set(service, touched.get(service) ?? "");
    left.push(resource);
    this.#holder(service).backends.delete(resource);
    const held = this.#byAddress.get(address);
    if (held instanceof Set) held.delete(resource);
    if (held === resource || (held instanceof Set && held.size === 0)) this.#byAddress.delete(address);
  }

  #noteDeparture(backend: Backend, at: Revision): void {
    const address = addressFromBytes(backend.address);
    for (const { number } of backend.ports) {
      const target = { address, port: number };
      if (this.holders(target).has(backend.service)) continue;
      const key = departureKey(backend.service, target);
      this.#departures.delete(key);
      this.#departures.set(key, at);
    }
    for (const oldest of this.#departures.keys()) {
      if (this.#departures.size <= departuresMax) break;
      this.#departures.delete(oldest);
    }
  }

  #holder(id: bigint): Holder {
    let holder = this.#holders.get(id);
    if (holder === undefined) this.#holders.set(id, (holder = { service: undefined, backends: new Set() }));
    return holder;
  }
}

function serviceIn({ value }: CompiledResource): Service {
  if (value.kind !== "service") throw new TypeError(`a ${value.kind} is no service`);
  return value.service;
}

function backendIn({ value }: CompiledResource): Backend {
  if (value.kind !== "backend") throw new TypeError(`a ${value.kind} is no backend`);
  return value.backend;
}

// Of endpoints that are not ready on some node because of its own copy.
function replacedAddresses(backends: Iterable<Backend>): ReadonlySet<Address> {
  const addresses = new Set<Address>();
  for (const { localCopy, notReady, address } of backends)
    if (localCopy && notReady) addresses.add(addressFromBytes(address));
  return addresses;
}

function departureKey(service: bigint, target: BackendAddress): string {
  return `${service}|${target.address}|${target.port}`;
}
