/**
 * Records -> resources, incrementally: a change costs the services it touches. What comes out depends only on the records that
 * stand, never on the order in which they came; `Compiler` is state, not clock, chance or I/O.
 */
import type { Family, Prefix } from "@weft/proto/address.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { limitTriggers, noTriggers, triggerTimesMax } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import type { CompiledChanges, CompiledResource } from "../catalog/resource.ts";
import type { ObjectRefusal } from "../source/projection.ts";
import type {
  EndpointRecord,
  EndpointSliceRecord,
  NodeRecord,
  RecordChange,
  ServiceRecord,
  SliceTrigger,
  SourceRecord,
} from "../source/source.ts";
import { encodeBackend, encodeName, encodeService, familiesOf, isBackendOf, nameOfBackend } from "./encode.ts";
import type { BackendReferences, DeriveId } from "./encode.ts";
import { mergeEndpoints } from "./merge-endpoints.ts";
import type { EndpointGroup } from "./merge-endpoints.ts";
import { NodeViews } from "./node-views.ts";
import type { NodeView, NodeViewsChanged } from "./node-views.ts";
import { ResourceClaims } from "./resource-claims.ts";

export interface Compiled extends CompiledChanges {
  /** Whose NodeView changed; a change of a view is no resource. */
  readonly nodeViewsChanged: NodeViewsChanged;
  /** A Node came, went, or has other addresses or another zone. */
  readonly areNodesChanged: boolean;
  /** Every resource that is refused now because another holds its id; almost always empty. */
  readonly collisions: readonly ObjectRefusal[];
}

export interface CompilerOptions {
  /** The flags --service-cidr. */
  readonly serviceCidrs?: readonly Prefix[];
  /** Tests only: makes ids collide. */
  readonly deriveId?: DeriveId;
}

/** What one service has given to the catalog. */
interface CompiledService {
  readonly service: CompiledResource;
  /** By resource name. */
  readonly backends: ReadonlyMap<string, CompiledResource>;
  /** Interned names that its backends refer to; each counts once per service. */
  readonly names: ReadonlySet<string>;
}

interface CountedName {
  readonly resource: CompiledResource;
  /** Services that refer to it. */
  count: number;
}

export class Compiler {
  readonly #deriveId: DeriveId;
  readonly #services = new Map<string, ServiceRecord>();
  readonly #slices = new Map<string, EndpointSliceRecord>();
  /** By service, then by slice name; also of services that are not known (yet). */
  readonly #slicesByService = new Map<string, Map<string, EndpointSliceRecord>>();
  readonly #compiled = new Map<string, CompiledService>();
  readonly #names = new Map<string, CountedName>();
  readonly #claims = new ResourceClaims();
  readonly #nodeViews: NodeViews;
  #touched = new Set<string>();
  // Of slices that were put since the last take, by service; undefined until the first take: what stood before is no change.
  #triggers: Map<string, SliceTrigger[]> | undefined;
  #areNodesChanged = false;

  constructor(options: CompilerOptions = {}) {
    this.#deriveId = options.deriveId ?? resourceId;
    this.#nodeViews = new NodeViews(options.serviceCidrs ?? []);
  }

  /** By name. */
  nodes(): ReadonlyMap<string, NodeRecord> {
    return this.#nodeViews.nodes();
  }

  serviceCidrs(): readonly Prefix[] {
    return this.#nodeViews.serviceCidrs();
  }

  /** Also of a node that has no Node object. */
  nodeViewOf(node: string): NodeView {
    return this.#nodeViews.viewOf(node);
  }

  get serviceNames(): Iterable<string> {
    return this.#services.keys();
  }

  get serviceCount(): number {
    return this.#services.size;
  }

  hasService(name: string): boolean {
    return this.#services.has(name);
  }

  /** Undefined: no such slice. */
  serviceOfSlice(name: string): string | undefined {
    return this.#slices.get(name)?.service;
  }

  /** Names of the slices of a service, known or not. */
  slicesOf(service: string): Iterable<string> {
    return this.#slicesByService.get(service)?.keys() ?? [];
  }

  apply(batch: readonly RecordChange[]): void {
    for (const change of batch) {
      if (change.op === "put") this.#put(change.record);
      else this.#remove(change.kind, change.name);
    }
  }

  /** Compiles what was touched since the last take, and returns what is different by that. */
  take(): Compiled {
    const touched = this.#touched;
    this.#touched = new Set();
    // All services first: one that loses its id to another must take its backends back, one that gains it sends them.
    for (const name of touched) {
      const standing = this.#compileService(name);
      if (standing?.value.kind === "service") touched.add(standing.name);
    }
    const changed: string[] = [];
    for (const name of touched) if (this.#compileBackends(name)) changed.push(name);

    const areNodesChanged = this.#areNodesChanged;
    this.#areNodesChanged = false;
    return {
      ...this.#claims.take(),
      triggers: this.#takeTriggers(changed),
      nodeViewsChanged: this.#nodeViews.takeChanged(),
      areNodesChanged,
      collisions: this.#claims.refusals(),
    };
  }

  #put(record: SourceRecord): void {
    switch (record.kind) {
      case "Service":
        this.#services.set(record.name, record);
        this.#touched.add(record.name);
        break;
      case "EndpointSlice":
        this.#noteTrigger(record);
        this.#dropSlice(record.name);
        this.#slices.set(record.name, record);
        getOrAdd(this.#slicesByService, record.service).set(record.name, record);
        this.#touched.add(record.service);
        break;
      case "Node":
        this.#nodeViews.putNode(record);
        this.#areNodesChanged = true;
        break;
      case "ServiceCIDR":
        this.#nodeViews.putServiceCidr(record);
        break;
    }
  }

  #remove(kind: SourceRecord["kind"], name: string): void {
    switch (kind) {
      case "Service":
        this.#services.delete(name);
        this.#touched.add(name);
        break;
      case "EndpointSlice":
        this.#dropSlice(name);
        break;
      case "Node":
        this.#nodeViews.removeNode(name);
        this.#areNodesChanged = true;
        break;
      case "ServiceCIDR":
        this.#nodeViews.removeServiceCidr(name);
        break;
    }
  }

  #dropSlice(name: string): void {
    const slice = this.#slices.get(name);
    if (slice === undefined) return;
    this.#slices.delete(name);
    this.#touched.add(slice.service);
    const ofService = this.#slicesByService.get(slice.service);
    ofService?.delete(name);
    if (ofService?.size === 0) this.#slicesByService.delete(slice.service);
  }

  // Returns another resource that lost or gained its id by this.
  #compileService(name: string): CompiledResource | undefined {
    const record = this.#services.get(name);
    const before = this.#compiled.get(name);
    if (record === undefined) return before === undefined ? undefined : this.#claims.remove(before.service);
    const service = encodeService(record, this.#deriveId);
    this.#compiled.set(name, { service, backends: before?.backends ?? new Map(), names: before?.names ?? new Set() });
    return this.#claims.put(service);
  }

  // True if its backends are others by that.
  #compileBackends(name: string): boolean {
    const record = this.#services.get(name);
    const before = this.#compiled.get(name);
    if (before === undefined) return false;
    const isServed = record !== undefined && this.#claims.holds(before.service);
    const groups = isServed ? mergeEndpoints(this.#slicesByService.get(name)?.values() ?? [], familiesOf(record)) : [];

    const names = new Set(groups.flatMap(({ endpoint }) => namesOf(endpoint)));
    for (const value of names) if (!before.names.has(value)) this.#retainName(value);
    const backends = new Map<string, CompiledResource>();
    let hasChanged = groups.length !== before.backends.size;
    for (const group of groups) {
      const backend = this.#compileBackend(name, group, before);
      hasChanged ||= before.backends.get(backend.name) !== backend;
      backends.set(backend.name, backend);
    }
    for (const [backendName, backend] of before.backends) if (!backends.has(backendName)) this.#claims.remove(backend);
    for (const value of before.names) if (!names.has(value)) this.#releaseName(value);

    if (record === undefined) this.#compiled.delete(name);
    else this.#compiled.set(name, { service: before.service, backends, names });
    return hasChanged;
  }

  #noteTrigger({ name, service, trigger }: EndpointSliceRecord): void {
    if (trigger === undefined || trigger.atMs === this.#slices.get(name)?.trigger?.atMs) return;
    const noted = this.#triggers?.get(service);
    if (noted === undefined) this.#triggers?.set(service, [trigger]);
    else if (noted.length < triggerTimesMax) noted.push(trigger);
  }

  #takeTriggers(changed: readonly string[]): TriggerTimes {
    const noted = this.#triggers;
    this.#triggers = new Map();
    if (noted === undefined || noted.size === 0) return noTriggers;
    const triggers = changed.flatMap((name) => noted.get(name) ?? []);
    const of = (wanted: Family): readonly number[] =>
      triggers.filter(({ family }) => family === wanted).map(({ atMs }) => atMs);
    return limitTriggers({ ipv4: of(4), ipv6: of(6) });
  }

  // An unchanged backend is taken as it is: neither hashed nor encoded again.
  #compileBackend(service: string, group: EndpointGroup, before: CompiledService): CompiledResource {
    const { endpoint } = group;
    const references: BackendReferences = {
      service: before.service.id,
      node: this.#idOf(endpoint.nodeName),
      zone: this.#idOf(endpoint.zone),
      zoneHints: this.#idsOf(endpoint.zoneHints),
      nodeHints: this.#idsOf(endpoint.nodeHints),
    };
    const name = nameOfBackend(service, group);
    const earlier = before.backends.get(name);
    if (earlier?.value.kind === "backend" && isBackendOf(earlier.value.backend, group, references)) return earlier;
    const backend = encodeBackend(name, group, references, this.#deriveId);
    this.#claims.put(backend);
    return backend;
  }

  #idOf(name: string): bigint {
    return name === "" ? 0n : (this.#names.get(name)?.resource.id ?? 0n);
  }

  #idsOf(names: readonly string[]): readonly bigint[] {
    if (names.length === 0) return noIds;
    return [...new Set(names.map((name) => this.#idOf(name)))].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  #retainName(value: string): void {
    const counted = this.#names.get(value);
    if (counted !== undefined) {
      counted.count++;
      return;
    }
    const resource = encodeName(value, this.#deriveId);
    this.#names.set(value, { resource, count: 1 });
    this.#claims.put(resource);
  }

  #releaseName(value: string): void {
    const counted = this.#names.get(value);
    if (counted === undefined || --counted.count > 0) return;
    this.#names.delete(value);
    this.#claims.remove(counted.resource);
  }
}

const noIds: readonly ResourceId[] = [];

function namesOf(endpoint: EndpointRecord): readonly string[] {
  return [endpoint.nodeName, endpoint.zone, ...endpoint.zoneHints, ...endpoint.nodeHints].filter((name) => name !== "");
}

function getOrAdd<K, A, B>(map: Map<K, Map<A, B>>, key: K): Map<A, B> {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = new Map<A, B>();
  map.set(key, made);
  return made;
}
