/** The kinds of objects that are watched, with the API server's own filters: what they leave out never travels. */
import type { RecordKind } from "../source.ts";

export interface WatchedKind {
  readonly kind: RecordKind;
  /** As `kind` and `apiVersion` of an object. */
  readonly apiVersion: string;
  /** As RBAC names it: "services", "endpointslices.discovery.k8s.io". */
  readonly resource: string;
  readonly path: string;
  /** kube-proxy's since 1.36; "": none. An object that gains the label arrives as DELETED. */
  readonly labelSelector: string;
  /** Metadata alone is asked for. */
  readonly isMetadataOnly: boolean;
  /** An API server that does not serve this kind has none. */
  readonly isOptional: boolean;
}

export const watchedKinds: readonly WatchedKind[] = [
  {
    kind: "Service",
    apiVersion: "v1",
    resource: "services",
    path: "/api/v1/services",
    labelSelector: "!service.kubernetes.io/service-proxy-name",
    isMetadataOnly: false,
    isOptional: false,
  },
  {
    kind: "EndpointSlice",
    apiVersion: "discovery.k8s.io/v1",
    resource: "endpointslices.discovery.k8s.io",
    path: "/apis/discovery.k8s.io/v1/endpointslices",
    labelSelector: "!service.kubernetes.io/headless",
    isMetadataOnly: false,
    isOptional: false,
  },
  {
    kind: "Node",
    apiVersion: "v1",
    resource: "nodes",
    path: "/api/v1/nodes",
    labelSelector: "",
    // Status is most of a Node and changes all the time. Agents tell their addresses themselves.
    isMetadataOnly: true,
    isOptional: false,
  },
  {
    kind: "ServiceCIDR",
    apiVersion: "networking.k8s.io/v1",
    resource: "servicecidrs.networking.k8s.io",
    path: "/apis/networking.k8s.io/v1/servicecidrs",
    labelSelector: "",
    isMetadataOnly: false,
    // v1 since Kubernetes 1.33.
    isOptional: true,
  },
];
