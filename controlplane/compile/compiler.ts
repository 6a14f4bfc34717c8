/**
 * Records -> resources, incrementally: a change costs the services it touches. What comes out depends only on the records that
 * stand, never on the order in which they came; `Compiler` is state, not clock, chance or I/O.
 */
import type { Family, Prefix } from "@weft/proto/address.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { limitTriggers, noTriggers, triggerTimesMax } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import type { PackedBytes } from "../catalog/packed-bytes.ts";
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
import { BackendResource } from "./backend-resource.ts";
import type { BackendOwner } from "./backend-resource.ts";
import { BackendEncoder } from "./encode-backend.ts";
import type { BackendReferences } from "./encode-backend.ts";
import { encodeName, encodeService, familiesOf, nameOfBackend } from "./encode.ts";
import type { DeriveId } from "./encode.ts";
import { mergeEndpoints } from "./merge-endpoints.ts";
import type { EndpointGroup } from "./merge-endpoints.ts";
import { NodeViews } from "./node-views.ts";
import type { NodeView, NodeViewsChanged } from "./node-views.ts";
import { ResourceClaims } from "./resource-claims.ts";
import { StandingRecords } from "./standing-records.ts";

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
  /** What `service` was made of. */
  readonly record: ServiceRecord;
  readonly service: CompiledResource;
  readonly owner: BackendOwner;
  readonly backends: readonly BackendResource[];
  /** Interned names that its backends refer to, without repeats; each counts once per service. */
  readonly names: readonly string[];
}

interface CountedName {
  readonly resource: CompiledResource;
  /** Services that refer to it. */
  count: number;
}

export class Compiler {
  readonly #deriveId: DeriveId;
  readonly #records = new StandingRecords();
  readonly #compiled = new Map<string, CompiledService>();
  readonly #names = new Map<string, CountedName>();
  readonly #claims = new ResourceClaims();
  readonly #encoder = new BackendEncoder();
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
    return this.#records.services.keys();
  }

  get serviceCount(): number {
    return this.#records.services.size;
  }

  hasService(name: string): boolean {
    return this.#records.services.has(name);
  }

  /** Undefined: no such slice. */
  serviceOfSlice(name: string): string | undefined {
    return this.#records.slices.get(name)?.service;
  }

  /** Names of the slices of a service, known or not. */
  slicesOf(service: string): Iterable<string> {
    return this.#records.slicesOf(service);
  }

  apply(batch: readonly RecordChange[]): void {
    for (const change of batch) {
      if (change.op === "put") this.#put(change.record);
      else this.#remove(change.kind, change.name);
    }
  }

  /** Compiles what was touched since the last take, and returns what is different by that. */
  take(): Compiled {
    const steps = this.takeInSteps();
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
  }

  /**
   * The same in steps of about a service, for callers that have other things to do between two. What is applied meanwhile belongs to
   * the next take. Must be run to its end before the next one begins.
   */
  *takeInSteps(): Generator<undefined, Compiled> {
    const touched = this.#touched;
    this.#touched = new Set();
    const noted = this.#triggers;
    this.#triggers = new Map();
    const areNodesChanged = this.#areNodesChanged;
    this.#areNodesChanged = false;
    const nodeViewsChanged = this.#nodeViews.takeChanged();
    this.#records.openTake();
    // All services first: one that loses its id to another must take its backends back, one that gains it sends them.
    for (const name of touched) {
      const standing = this.#compileService(name);
      if (standing?.kind === "service") touched.add(standing.name);
      yield;
    }
    const changed: string[] = [];
    for (const name of touched) {
      if (this.#compileBackends(name)) changed.push(name);
      yield;
    }
    this.#records.closeTake();
    // Comparing all that was touched takes as long as many services.
    yield;
    return {
      ...this.#claims.take(),
      triggers: triggersOf(noted, changed),
      nodeViewsChanged,
      areNodesChanged,
      collisions: this.#claims.refusals(),
    };
  }

  #put(record: SourceRecord): void {
    switch (record.kind) {
      case "Service":
        this.#records.putService(record);
        this.#touched.add(record.name);
        break;
      case "EndpointSlice":
        this.#noteTrigger(record);
        this.#touchServiceOf(record.name);
        this.#records.putSlice(record);
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
        this.#records.removeService(name);
        this.#touched.add(name);
        break;
      case "EndpointSlice":
        this.#touchServiceOf(name);
        this.#records.removeSlice(name);
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

  #touchServiceOf(slice: string): void {
    const service = this.serviceOfSlice(slice);
    if (service !== undefined) this.#touched.add(service);
  }

  // Returns another resource that lost or gained its id by this.
  #compileService(name: string): CompiledResource | undefined {
    const { record } = this.#records.inputsOf(name);
    const before = this.#compiled.get(name);
    if (record === undefined) return before === undefined ? undefined : this.#claims.remove(before.service);
    if (before?.record === record) return undefined;
    const made = encodeService(record, this.#deriveId);
    const service = before?.service.body === made.body ? before.service : made;
    const { owner, backends, names } = before ?? { owner: { id: made.id, name }, backends: [], names: [] };
    this.#compiled.set(name, { record, service, owner, backends, names });
    return this.#claims.put(service);
  }

  // True if its backends are others by that.
  #compileBackends(name: string): boolean {
    const { record, slices } = this.#records.inputsOf(name);
    const before = this.#compiled.get(name);
    if (before === undefined) return false;
    const isServed = record !== undefined && this.#claims.holds(before.service);
    const groups = isServed ? mergeEndpoints(slices, familiesOf(record)) : [];

    const namesBefore = new Set(before.names);
    const names = namesIn(groups);
    for (const value of names) if (!namesBefore.has(value)) this.#retainName(value);
    // An unchanged backend is taken as it is; what is left in `gone` has left, or is replaced by one of its name.
    const gone = new Map(before.backends.map((backend) => [contentOf(backend.body, backend.localCopyOf), backend]));
    const made = new Set<string>();
    const backends = groups.map((group) => {
      const body = this.#encoder.encode(group, this.#referencesOf(group.endpoint, before.owner));
      const localCopyOf = group.isLocalCopy ? group.endpoint.nodeName : "";
      const content = contentOf(body, localCopyOf);
      const earlier = gone.get(content);
      if (earlier !== undefined) {
        gone.delete(content);
        return earlier;
      }
      const backendName = nameOfBackend(name, group);
      made.add(backendName);
      const id = this.#deriveId("backend", backendName);
      const hash = this.#encoder.hash(id);
      const backend = new BackendResource(id, body, hash, before.owner, group.address, localCopyOf);
      this.#claims.put(backend);
      return backend;
    });
    for (const backend of gone.values()) if (!made.has(backend.name)) this.#claims.remove(backend);
    for (const value of before.names) if (!names.has(value)) this.#releaseName(value);

    if (record === undefined) this.#compiled.delete(name);
    else this.#compiled.set(name, { ...before, backends, names: [...names] });
    return made.size > 0 || gone.size > 0;
  }

  #noteTrigger({ name, service, trigger }: EndpointSliceRecord): void {
    if (trigger === undefined || trigger.atMs === this.#records.slices.get(name)?.trigger?.atMs) return;
    const noted = this.#triggers?.get(service);
    if (noted === undefined) this.#triggers?.set(service, [trigger]);
    else if (noted.length < triggerTimesMax) noted.push(trigger);
  }

  #referencesOf({ nodeName, zone, zoneHints, nodeHints }: EndpointRecord, { id }: BackendOwner): BackendReferences {
    return {
      service: id,
      node: this.#idOf(nodeName),
      zone: this.#idOf(zone),
      zoneHints: this.#idsOf(zoneHints),
      nodeHints: this.#idsOf(nodeHints),
    };
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

function namesIn(groups: readonly EndpointGroup[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { endpoint } of groups) {
    names.add(endpoint.nodeName).add(endpoint.zone);
    for (const zone of endpoint.zoneHints) names.add(zone);
    for (const node of endpoint.nodeHints) names.add(node);
  }
  names.delete("");
  return names;
}

// What two backends of one service never share, also where the ids of two nodes collide.
function contentOf(body: PackedBytes, localCopyOf: string): string {
  return localCopyOf === "" ? body : `${body}@${localCopyOf}`;
}

function triggersOf(noted: ReadonlyMap<string, SliceTrigger[]> | undefined, changed: readonly string[]): TriggerTimes {
  if (noted === undefined || noted.size === 0) return noTriggers;
  const triggers = changed.flatMap((name) => noted.get(name) ?? []);
  const of = (wanted: Family): readonly number[] =>
    triggers.filter(({ family }) => family === wanted).map(({ atMs }) => atMs);
  return limitTriggers({ ipv4: of(4), ipv6: of(6) });
}
