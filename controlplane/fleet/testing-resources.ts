/** For tests: resources and commits in few words. */
import { create } from "@bufbuild/protobuf";
import { addressBytes, parseAddress } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { AckSchema, FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import {
  BackendSchema,
  Protocol,
  ResourceSchema,
  ServiceSchema,
} from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { backendName, resourceId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import { NamedResource } from "../catalog/packed-resource.ts";
import type { Commit, CompiledResource } from "../catalog/resource.ts";
import type { CommitSteps } from "./fleet-observer.ts";

export interface ServiceSpec {
  readonly service: string;
  /** Names of TCP ports; default: one without a name. */
  readonly ports?: readonly string[];
  readonly internalLocal?: boolean;
  readonly externalLocal?: boolean;
}

export interface BackendSpec {
  readonly of: string;
  readonly address: string;
  /** Name -> number; default: "" -> 80. */
  readonly ports?: Readonly<Record<string, number>>;
  readonly protocol?: Protocol;
  readonly state?: "ready" | "not-ready" | "terminating" | "terminating-not-serving";
  readonly node?: string;
  readonly localCopy?: boolean;
}

export function serviceResource(spec: ServiceSpec): CompiledResource {
  const ports = (spec.ports ?? [""]).map((name, i) => ({ name, protocol: Protocol.TCP, port: 80 + i }));
  const service = create(ServiceSchema, {
    name: spec.service,
    ports,
    internalLocal: spec.internalLocal ?? false,
    externalLocal: spec.externalLocal ?? false,
  });
  const id = resourceId("service", spec.service);
  return new NamedResource(spec.service, create(ResourceSchema, { id, kind: { case: "service", value: service } }));
}

export function backendResource(spec: BackendSpec): CompiledResource {
  const state = spec.state ?? "ready";
  const protocol = spec.protocol ?? Protocol.TCP;
  const ports = Object.entries(spec.ports ?? { "": 80 }).map(([name, number]) => ({ name, protocol, number }));
  const localCopy = spec.localCopy ?? false;
  const name = backendName(spec.of, spec.address, ports, localCopy ? spec.node : undefined);
  const backend = create(BackendSchema, {
    service: resourceId("service", spec.of),
    address: addressBytes(address(spec.address)),
    ports,
    node: spec.node === undefined ? 0n : resourceId("name", spec.node),
    notReady: state !== "ready",
    notServing: state === "terminating-not-serving",
    terminating: state.startsWith("terminating"),
    localCopy,
  });
  const id = resourceId("backend", name);
  return new NamedResource(name, create(ResourceSchema, { id, kind: { case: "backend", value: backend } }));
}

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(`not an address: ${text}`);
  return parsed;
}

/** A catalog in small: turns wanted sets of resources into commits. */
export class Commits {
  readonly #held = new Map<ResourceId, CompiledResource>();
  #revision = 0;

  get revision(): number {
    return this.#revision;
  }

  commit(puts: readonly CompiledResource[], removals: readonly CompiledResource[] = []): Commit {
    this.#revision++;
    const replaced = new Map<ResourceId, CompiledResource>();
    const removed: CompiledResource[] = [];
    for (const { id } of removals) {
      const held = this.#held.get(id);
      if (held !== undefined) removed.push(held);
      this.#held.delete(id);
    }
    for (const put of puts) {
      const held = this.#held.get(put.id);
      if (held !== undefined) replaced.set(put.id, held);
      this.#held.set(put.id, put);
    }
    return { revision: this.#revision as Revision, puts, removals: removed, replaced, triggers: noTriggers };
  }
}

export interface AckSpec {
  readonly revision: number;
  /** Of category `capacity`; "": the whole node. */
  readonly failed?: readonly string[];
  readonly notices?: readonly string[];
  /** Failures that are not listed. */
  readonly unlisted?: number;
}

export function ackOf(spec: AckSpec): Ack {
  const failures = [
    ...(spec.failed ?? []).map((service) => ({
      service,
      category: FailureCategory.CAPACITY,
      reason: "the map is full",
    })),
    ...(spec.notices ?? []).map((service) => ({
      service,
      category: FailureCategory.CONFLICT,
      reason: "claimed twice",
    })),
  ];
  return create(AckSchema, {
    revision: BigInt(spec.revision),
    failures,
    failuresTotal: failures.length + (spec.unlisted ?? 0),
  });
}

/** A commit of which nothing took time and nothing is sampled. */
export function stepsAt(nowUs: number): CommitSteps {
  return { noticedAtUs: nowUs, compileStartedAtUs: nowUs, compiledAtUs: nowUs, traceId: undefined };
}
