/**
 * What every source gives: small records of the objects that matter, and *synced*. Sources project objects to records at
 * the boundary, normalize addresses, apply API defaults (S14) and leave out what S12 and S20 ignore, so that compile sees
 * only what is served.
 */
import type { Address, Family, Prefix } from "@weft/proto/address.ts";

export type ProtocolName = "TCP" | "UDP" | "SCTP";

export interface ServicePortRecord {
  readonly name: string;
  readonly protocol: ProtocolName;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
}

export interface ServiceRecord {
  readonly kind: "Service";
  /** "namespace/name". */
  readonly name: string;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly ports: readonly ServicePortRecord[];
  /** At least one, at most one per family. */
  readonly clusterIps: readonly Address[];
  readonly externalIps: readonly Address[];
  /** Ingress addresses whose ipMode is not Proxy. */
  readonly loadBalancerIps: readonly Address[];
  readonly externalTrafficPolicy: "Cluster" | "Local";
  readonly internalTrafficPolicy: "Cluster" | "Local";
  /** 0: None. */
  readonly affinitySeconds: number;
  readonly loadBalancerSourceRanges: readonly Prefix[];
  /** 0: none. */
  readonly healthCheckNodePort: number;
  /** Annotation `weft.dev/node-local: pass` (S32). */
  readonly isNodeLocalPass: boolean;
}

export interface EndpointRecord {
  /** `addresses[0]` (S20). */
  readonly address: Address;
  readonly isReady: boolean;
  readonly isServing: boolean;
  readonly isTerminating: boolean;
  /** "": none. */
  readonly nodeName: string;
  readonly zone: string;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

export interface SlicePortRecord {
  readonly name: string;
  readonly protocol: ProtocolName;
  readonly number: number;
}

/** What made a slice change last (annotation endpoints.kubernetes.io/last-change-trigger-time). */
export interface SliceTrigger {
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Of the slice. */
  readonly family: Family;
}

export interface EndpointSliceRecord {
  readonly kind: "EndpointSlice";
  /** "namespace/name". */
  readonly name: string;
  /** "namespace/name" of the service that its label names. */
  readonly service: string;
  /** Numbered ports only (S25). */
  readonly ports: readonly SlicePortRecord[];
  readonly endpoints: readonly EndpointRecord[];
  /** Absent: not said. For a metric only: two records that differ in nothing else are the same (`isSameRecord`). */
  readonly trigger?: SliceTrigger;
}

export interface NodeRecord {
  readonly kind: "Node";
  /** Name of the node. */
  readonly name: string;
  /** Label topology.kubernetes.io/zone; "": none. */
  readonly zone: string;
  /** InternalIPs, then ExternalIPs (S8); empty if the source does not have them. */
  readonly addresses: readonly Address[];
}

export interface ServiceCidrRecord {
  readonly kind: "ServiceCIDR";
  readonly name: string;
  readonly cidrs: readonly Prefix[];
}

export type SourceRecord = ServiceRecord | EndpointSliceRecord | NodeRecord | ServiceCidrRecord;

export type RecordKind = SourceRecord["kind"];

/** One change. A record that is there replaces the one of its kind and name. */
export type RecordChange =
  | { readonly op: "put"; readonly record: SourceRecord }
  | { readonly op: "remove"; readonly kind: RecordKind; readonly name: string };

/** Changes that belong together: they are folded into one commit. */
export interface ChangeBatch {
  readonly changes: readonly RecordChange[];
  /**
   * The batch came from comparing everything, so removals in it may be a lost source (mass removal). Such a batch comes also if
   * nothing differs, from sources that compare one kind at a time.
   */
  readonly isRelist: boolean;
  /** Of a relist: the kinds that were compared; absent: all. */
  readonly kinds?: readonly RecordKind[];
  /** Unix milliseconds at which the source noticed the first of these changes. */
  readonly noticedAtMs: number;
}

/** Receives what a source finds. Calls come in order and never overlap. */
export interface SourceSink {
  /** Everything up to here has been delivered at least once. Called once; nothing is served before. */
  synced(): void;
  changes(batch: ChangeBatch): void;
}

export interface Source {
  /** True if the source knows about nodes: the quorum of a wait is over these. Valid after *synced*; a batch can change it. */
  readonly hasNodes: boolean;
  /** Runs until `signal` aborts; rejects only when a restart of the program is warranted. */
  run(sink: SourceSink, signal: AbortSignal): Promise<void>;
}
