/** What the synthetic API server says of its cluster, in the words of the Kubernetes API. Pure. */
import { changingSlice, nodeObject, serviceObject, sliceObject, slicesOf } from "../cluster.ts";
import type { ApiObject, ClusterShape } from "../cluster.ts";

export type ServedKind = "Service" | "EndpointSlice" | "Node";

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "BOOKMARK";
  readonly object: Readonly<Record<string, unknown>>;
}

const apiVersions = { Service: "v1", EndpointSlice: "discovery.k8s.io/v1", Node: "v1" } as const;
const firstVersion = 1_000;

export class SyntheticCluster {
  readonly #shape: ClusterShape;
  /** By service: how often it was changed, and the version of the last time. */
  readonly #changes = new Map<number, { readonly count: number; readonly version: number }>();
  #version = firstVersion;

  constructor(shape: ClusterShape) {
    this.#shape = shape;
  }

  get version(): number {
    return this.#version;
  }

  /** Replaces the last endpoint of that service. */
  change(service: number): WatchEvent {
    this.#version++;
    this.#changes.set(service, { count: (this.#changes.get(service)?.count ?? 0) + 1, version: this.#version });
    return { type: "MODIFIED", object: this.#slice(service, changingSlice(this.#shape)) };
  }

  /** As one page; items of lists do not say their kind. */
  list(kind: ServedKind): Readonly<Record<string, unknown>> {
    const items = [...this.#objects(kind)].map(({ apiVersion: _version, kind: _kind, ...object }) => object);
    const metadata = { resourceVersion: String(this.#version) };
    return { kind: `${kind}List`, apiVersion: apiVersions[kind], metadata, items };
  }

  /** All of it, and its end: what a watch with `sendInitialEvents` begins with. */
  *initialEvents(kind: ServedKind): Generator<WatchEvent> {
    for (const object of this.#objects(kind)) yield { type: "ADDED", object };
    yield this.bookmark(kind, true);
  }

  /** What changed after that version; each service once. */
  *eventsSince(kind: ServedKind, version: number): Generator<WatchEvent> {
    if (kind !== "EndpointSlice") return;
    const changed = [...this.#changes].filter(([, change]) => change.version > version);
    for (const [service] of changed.toSorted(([, a], [, b]) => a.version - b.version)) {
      yield { type: "MODIFIED", object: this.#slice(service, changingSlice(this.#shape)) };
    }
  }

  bookmark(kind: ServedKind, isInitialEnd: boolean): WatchEvent {
    const annotations = isInitialEnd ? { annotations: { "k8s.io/initial-events-end": "true" } } : {};
    const metadata = { resourceVersion: String(this.#version), ...annotations };
    return { type: "BOOKMARK", object: { kind, apiVersion: apiVersions[kind], metadata } };
  }

  *#objects(kind: ServedKind): Generator<ApiObject> {
    const { services, nodes } = this.#shape;
    if (kind === "Node") {
      for (let node = 0; node < nodes; node++) yield nodeObject(node);
      return;
    }
    for (let service = 0; service < services; service++) {
      if (kind === "Service") yield serviceObject(this.#shape, service);
      else for (let slice = 0; slice < slicesOf(this.#shape); slice++) yield this.#slice(service, slice);
    }
  }

  #slice(service: number, slice: number): ApiObject {
    const change = slice === changingSlice(this.#shape) ? this.#changes.get(service) : undefined;
    const { count = 0, version = firstVersion } = change ?? {};
    return sliceObject(this.#shape, service, slice, count, String(version));
  }
}
