import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { project } from "./projection.ts";
import type { EndpointSliceRecord, NodeRecord, ServiceCidrRecord, ServiceRecord } from "./source.ts";

type Json = Record<string, unknown>;

const port = { port: 80 };

function service(spec: Json, more: { metadata?: Json; status?: Json } = {}): Json {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "ns1", ...more.metadata },
    spec: { clusterIP: "172.30.0.1", ports: [port], ...spec },
    ...(more.status === undefined ? {} : { status: more.status }),
  };
}

function slice(fields: Json, labels: Json = { "kubernetes.io/service-name": "web" }): Json {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "ns1", labels },
    addressType: "IPv4",
    ports: [port],
    endpoints: [{ addresses: ["10.0.0.1"] }],
    ...fields,
  };
}

function node(fields: Json, labels: Json = {}): Json {
  return { apiVersion: "v1", kind: "Node", metadata: { name: "n1", labels }, ...fields };
}

function recordOf(object: unknown): unknown {
  const projection = project(object);
  assert.equal(projection.outcome, "record", JSON.stringify(projection));
  return projection.outcome === "record" ? projection.record : undefined;
}

const served: readonly { name: string; object: Json; expected: Partial<ServiceRecord> }[] = [
  {
    name: "defaults apply (S14), the namespace too",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "a" },
      spec: { clusterIP: "172.30.0.1", ports: [{ port: 80 }] },
    },
    expected: {
      kind: "Service",
      name: "default/a",
      type: "ClusterIP",
      ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }],
      externalIps: [],
      loadBalancerIps: [],
      externalTrafficPolicy: "Cluster",
      internalTrafficPolicy: "Cluster",
      affinitySeconds: 0,
      loadBalancerSourceRanges: [],
      healthCheckNodePort: 0,
      isNodeLocalPass: false,
    },
  },
  {
    name: "null is absent, unknown fields are nothing",
    object: service({
      type: null,
      clusterIPs: null,
      externalIPs: null,
      sessionAffinity: null,
      sessionAffinityConfig: null,
      externalTrafficPolicy: null,
      loadBalancerSourceRanges: null,
      healthCheckNodePort: null,
      ports: [{ port: 80, protocol: null, name: null, nodePort: null, targetPort: 8080, appProtocol: "x" }],
      whatever: { a: 1 },
    }),
    expected: { type: "ClusterIP", ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }], affinitySeconds: 0 },
  },
  {
    name: "absent clusterIPs means [clusterIP] (S11)",
    object: service({}),
    expected: { clusterIps: ["172.30.0.1"] as never },
  },
  {
    name: "empty clusterIPs means [clusterIP]",
    object: service({ clusterIPs: [] }),
    expected: { clusterIps: ["172.30.0.1"] as never },
  },
  {
    name: "both families",
    object: service({ clusterIPs: ["172.30.0.1", "fd00:0::01"] }),
    expected: { clusterIps: ["172.30.0.1", "fd00::1"] as never },
  },
  {
    name: "zero padding and blanks are normalized",
    object: service({ clusterIP: "172.30.0.041", externalIPs: [" 192.0.2.007 "] }),
    expected: { clusterIps: ["172.30.0.41"] as never, externalIps: ["192.0.2.7"] as never },
  },
  {
    name: "a v4-mapped address is IPv4 (S25)",
    object: service({ clusterIP: "::ffff:172.30.0.9" }),
    expected: { clusterIps: ["172.30.0.9"] as never },
  },
  {
    name: "source ranges: blanks, zero padding and host bits (S15)",
    object: service({ loadBalancerSourceRanges: [" 10.001.2.3/8 ", "fd00::5/64"] }),
    expected: {
      loadBalancerSourceRanges: [
        { address: "10.0.0.0", length: 8 },
        { address: "fd00::", length: 64 },
      ] as never,
    },
  },
  {
    name: "affinity by client defaults to 10,800 s (S4)",
    object: service({ sessionAffinity: "ClientIP" }),
    expected: { affinitySeconds: 10_800 },
  },
  {
    name: "affinity timeout",
    object: service({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }),
    expected: { affinitySeconds: 5 },
  },
  {
    name: "affinity None has no timeout",
    object: service({ sessionAffinity: "None", sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }),
    expected: { affinitySeconds: 0 },
  },
  {
    name: "ipMode Proxy and hostnames are not served (S17)",
    object: service(
      { type: "LoadBalancer" },
      {
        status: {
          loadBalancer: {
            ingress: [
              { ip: "192.0.2.1" },
              { ip: "192.0.2.2", ipMode: "VIP" },
              { ip: "192.0.2.3", ipMode: "Proxy" },
              { hostname: "lb.example" },
              {},
            ],
          },
        },
      },
    ),
    expected: { loadBalancerIps: ["192.0.2.1", "192.0.2.2"] as never },
  },
  {
    name: "node-local annotation (S32)",
    object: service({}, { metadata: { annotations: { "weft.dev/node-local": "pass" } } }),
    expected: { isNodeLocalPass: true },
  },
  {
    name: "the headless label on a Service means nothing (S12)",
    object: service({}, { metadata: { labels: { "service.kubernetes.io/headless": "" } } }),
    expected: { name: "ns1/web" },
  },
  {
    name: "one name for two protocols",
    object: service({
      ports: [
        { name: "dns", port: 53 },
        { name: "dns", port: 53, protocol: "UDP" },
      ],
    }),
    expected: {
      ports: [
        { name: "dns", protocol: "TCP", port: 53, nodePort: 0 },
        { name: "dns", protocol: "UDP", port: 53, nodePort: 0 },
      ],
    },
  },
];

describe("a served Service", () => {
  for (const { name, object, expected } of served) {
    test(name, () => assert.partialDeepStrictEqual(recordOf(object), expected));
  }
});

const ignored: readonly { name: string; object: Json }[] = [
  { name: "no ClusterIP yet", object: service({ clusterIP: "" }) },
  { name: "null ClusterIP", object: service({ clusterIP: null }) },
  { name: "no spec", object: { apiVersion: "v1", kind: "Service", metadata: { name: "a" } } },
  { name: "headless", object: service({ clusterIP: "None" }) },
  { name: "headless, as the API has it", object: service({ clusterIP: "None", clusterIPs: ["None"] }) },
  { name: "headless without ports", object: service({ clusterIP: "None", ports: [] }) },
  { name: "ExternalName", object: service({ type: "ExternalName", externalName: "example.org", clusterIP: "" }) },
  {
    name: "service-proxy-name",
    object: service({}, { metadata: { labels: { "service.kubernetes.io/service-proxy-name": "other" } } }),
  },
  {
    name: "service-proxy-name, empty",
    object: service({}, { metadata: { labels: { "service.kubernetes.io/service-proxy-name": "" } } }),
  },
  {
    name: "service-proxy-name, null",
    object: service({}, { metadata: { labels: { "service.kubernetes.io/service-proxy-name": null } } }),
  },
  {
    name: "headless slice",
    object: slice({}, { "kubernetes.io/service-name": "web", "service.kubernetes.io/headless": "" }),
  },
  { name: "headless slice without service", object: slice({}, { "service.kubernetes.io/headless": "x" }) },
  { name: "FQDN slice (S20)", object: slice({ addressType: "FQDN", endpoints: [{ addresses: ["a.example"] }] }) },
];

describe("ignored (S12)", () => {
  for (const { name, object } of ignored) {
    test(name, () => assert.equal(project(object).outcome, "ignored"));
  }
});

const sliceRecords: readonly { name: string; object: Json; expected: Partial<EndpointSliceRecord> }[] = [
  {
    name: "absent conditions: ready and serving, not terminating (S22)",
    object: slice({ endpoints: [{ addresses: ["10.0.0.1", "10.0.0.2"], conditions: { ready: null } }] }),
    expected: {
      service: "ns1/web",
      ports: [{ name: "", protocol: "TCP", number: 80 }],
      endpoints: [
        {
          address: "10.0.0.1" as never,
          isReady: true,
          isServing: true,
          isTerminating: false,
          nodeName: "",
          zone: "",
          zoneHints: [],
          nodeHints: [],
        },
      ],
    },
  },
  {
    name: "hints, node, zone and conditions",
    object: slice({
      endpoints: [
        {
          addresses: ["10.0.0.1"],
          conditions: { ready: false, serving: true, terminating: true },
          nodeName: "n1",
          zone: "z1",
          hints: { forZones: [{ name: "z1" }], forNodes: [{ name: "n1" }, { name: "n2" }] },
        },
      ],
    }),
    expected: {
      endpoints: [
        {
          address: "10.0.0.1" as never,
          isReady: false,
          isServing: true,
          isTerminating: true,
          nodeName: "n1",
          zone: "z1",
          zoneHints: ["z1"],
          nodeHints: ["n1", "n2"],
        },
      ],
    },
  },
  {
    name: "ports whose number is null are ignored (S25)",
    object: slice({ ports: [{ name: "a", port: null }, { name: "b" }, { name: "c", port: 1, protocol: "UDP" }] }),
    expected: { ports: [{ name: "c", protocol: "UDP", number: 1 }] },
  },
  { name: "no ports", object: slice({ ports: null }), expected: { ports: [] } },
  { name: "no endpoints", object: slice({ endpoints: null }), expected: { endpoints: [] } },
  {
    name: "service-proxy-name on a slice means nothing (S12)",
    object: slice({}, { "kubernetes.io/service-name": "web", "service.kubernetes.io/service-proxy-name": "x" }),
    expected: { service: "ns1/web" },
  },
];

describe("an EndpointSlice", () => {
  for (const { name, object, expected } of sliceRecords) {
    test(name, () => assert.partialDeepStrictEqual(recordOf(object), expected));
  }

  test("a v4-mapped address counts as IPv4 in an IPv4 slice (S25)", () => {
    const record = recordOf(slice({ endpoints: [{ addresses: ["::ffff:10.0.0.7"] }] })) as EndpointSliceRecord;
    assert.deepEqual(
      record.endpoints.map((endpoint) => endpoint.address),
      ["10.0.0.7"],
    );
  });

  const badEndpoints: readonly { endpoint: unknown; field: string }[] = [
    { endpoint: null, field: "endpoints[1]" },
    { endpoint: "10.0.0.2", field: "endpoints[1]" },
    { endpoint: {}, field: "endpoints[1].addresses" },
    { endpoint: { addresses: [] }, field: "endpoints[1].addresses" },
    { endpoint: { addresses: "10.0.0.2" }, field: "endpoints[1].addresses" },
    { endpoint: { addresses: [null] }, field: "endpoints[1].addresses[0]" },
    { endpoint: { addresses: ["10.0.0.256"] }, field: "endpoints[1].addresses[0]" },
    { endpoint: { addresses: ["fd00::1"] }, field: "endpoints[1].addresses[0]" },
    { endpoint: { addresses: ["0.0.0.0"] }, field: "endpoints[1].addresses[0]" },
    { endpoint: { addresses: ["10.0.0.2"], conditions: { ready: "yes" } }, field: "endpoints[1].conditions.ready" },
    { endpoint: { addresses: ["10.0.0.2"], conditions: [] }, field: "endpoints[1].conditions" },
    { endpoint: { addresses: ["10.0.0.2"], nodeName: 7 }, field: "endpoints[1].nodeName" },
    { endpoint: { addresses: ["10.0.0.2"], nodeName: "a\0b" }, field: "endpoints[1].nodeName" },
    { endpoint: { addresses: ["10.0.0.2"], hints: { forZones: ["z1"] } }, field: "endpoints[1].hints.forZones[0]" },
    { endpoint: { addresses: ["10.0.0.2"], hints: { forZones: [{}] } }, field: "endpoints[1].hints.forZones[0].name" },
    {
      endpoint: { addresses: ["10.0.0.2"], hints: { forNodes: Array.from({ length: 65 }, () => ({ name: "n" })) } },
      field: "endpoints[1].hints.forNodes",
    },
  ];
  for (const { endpoint, field } of badEndpoints) {
    test(`a bad endpoint alone is left out (S28): ${JSON.stringify(endpoint).slice(0, 60)}`, () => {
      const projection = project(
        slice({ endpoints: [{ addresses: ["10.0.0.1"] }, endpoint, { addresses: ["10.0.0.3"] }] }),
      );
      assert.equal(projection.outcome, "record");
      assert.ok(projection.outcome === "record" && projection.record.kind === "EndpointSlice");
      assert.deepEqual(
        projection.record.endpoints.map(({ address }) => address),
        ["10.0.0.1", "10.0.0.3"],
      );
      assert.deepEqual(
        projection.refusals.map((refusal) => [refusal.object, refusal.field]),
        [["EndpointSlice ns1/web-1", field]],
      );
    });
  }
});

const refused: readonly { object: unknown; field: string; who?: string }[] = [
  { object: "text", field: "document", who: "" },
  { object: [], field: "document", who: "" },
  { object: {}, field: "kind", who: "" },
  { object: { apiVersion: "v1" }, field: "kind", who: "" },
  { object: { kind: "Deployment" }, field: "apiVersion", who: "" },
  { object: { kind: 7, apiVersion: "v1" }, field: "kind", who: "" },
  { object: { ...service({}), apiVersion: undefined }, field: "apiVersion" },
  { object: { ...service({}), apiVersion: "v2" }, field: "apiVersion" },
  {
    object: { ...slice({}), apiVersion: "discovery.k8s.io/v1beta1" },
    field: "apiVersion",
    who: "EndpointSlice ns1/web-1",
  },
  { object: { ...service({}), metadata: undefined }, field: "metadata.name", who: "Service" },
  { object: { ...service({}), metadata: [] }, field: "metadata", who: "Service" },
  { object: service({}, { metadata: { name: 7 } }), field: "metadata.name", who: "Service" },
  { object: service({}, { metadata: { name: "a/b" } }), field: "metadata.name", who: "Service" },
  { object: service({}, { metadata: { namespace: "a b" } }), field: "metadata.namespace", who: "Service" },
  { object: service({}, { metadata: { labels: [] } }), field: "metadata.labels" },
  { object: { ...service({}), spec: "x" }, field: "spec" },
  { object: service({ type: "Weird" }), field: "spec.type" },
  { object: service({ clusterIP: "172.30.0.300" }), field: "spec.clusterIP" },
  { object: service({ clusterIP: 7 }), field: "spec.clusterIP" },
  { object: service({ clusterIPs: ["172.30.0.1", "172.30.0.2"] }), field: "spec.clusterIPs[1]" },
  { object: service({ clusterIPs: ["172.30.0.1", "fd00::1", "fd00::2"] }), field: "spec.clusterIPs" },
  { object: service({ clusterIPs: ["172.30.0.2"] }), field: "spec.clusterIPs[0]" },
  { object: service({ clusterIPs: ["172.30.0.1", null] }), field: "spec.clusterIPs[1]" },
  { object: service({ ports: [] }), field: "spec.ports" },
  { object: service({ ports: {} }), field: "spec.ports" },
  { object: service({ ports: [null] }), field: "spec.ports[0]" },
  { object: service({ ports: [{}] }), field: "spec.ports[0].port" },
  { object: service({ ports: [{ port: 0 }] }), field: "spec.ports[0].port" },
  { object: service({ ports: [{ port: 65_536 }] }), field: "spec.ports[0].port" },
  { object: service({ ports: [{ port: 80.5 }] }), field: "spec.ports[0].port" },
  { object: service({ ports: [{ port: Number.NaN }] }), field: "spec.ports[0].port" },
  { object: service({ ports: [{ port: "80" }] }), field: "spec.ports[0].port" },
  { object: service({ ports: [{ port: 80, protocol: "tcp" }] }), field: "spec.ports[0].protocol" },
  { object: service({ ports: [{ port: 80, nodePort: -1 }] }), field: "spec.ports[0].nodePort" },
  { object: service({ ports: [{ port: 80, name: "a/b" }] }), field: "spec.ports[0].name" },
  { object: service({ ports: [{ port: 80 }, { port: 81 }] }), field: "spec.ports[1].name" },
  {
    object: service({
      ports: [
        { port: 80, name: "a" },
        { port: 80, name: "b" },
      ],
    }),
    field: "spec.ports[1].port",
  },
  { object: service({ externalIPs: ["nonsense"] }), field: "spec.externalIPs[0]" },
  { object: service({ externalIPs: "192.0.2.1" }), field: "spec.externalIPs" },
  { object: service({ sessionAffinity: "Cookie" }), field: "spec.sessionAffinity" },
  {
    object: service({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } }),
    field: "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
  },
  { object: service({ externalTrafficPolicy: "local" }), field: "spec.externalTrafficPolicy" },
  { object: service({ internalTrafficPolicy: "None" }), field: "spec.internalTrafficPolicy" },
  {
    object: service({ loadBalancerSourceRanges: ["10.0.0.0/8", "10.0.0.0"] }),
    field: "spec.loadBalancerSourceRanges[1]",
  },
  { object: service({ loadBalancerSourceRanges: ["10.0.0.0/33"] }), field: "spec.loadBalancerSourceRanges[0]" },
  { object: service({ healthCheckNodePort: 70_000 }), field: "spec.healthCheckNodePort" },
  {
    object: service({}, { status: { loadBalancer: { ingress: [{ ip: "x" }] } } }),
    field: "status.loadBalancer.ingress[0].ip",
  },
  {
    object: service({}, { status: { loadBalancer: { ingress: [{ ip: "192.0.2.1", ipMode: "X" }] } } }),
    field: "status.loadBalancer.ingress[0].ipMode",
  },
  { object: slice({}, {}), field: 'metadata.labels["kubernetes.io/service-name"]', who: "EndpointSlice ns1/web-1" },
  {
    object: slice({}, { "kubernetes.io/service-name": "" }),
    field: 'metadata.labels["kubernetes.io/service-name"]',
    who: "EndpointSlice ns1/web-1",
  },
  { object: slice({ addressType: undefined }), field: "addressType", who: "EndpointSlice ns1/web-1" },
  { object: slice({ addressType: "IPv5" }), field: "addressType", who: "EndpointSlice ns1/web-1" },
  { object: slice({ ports: [{ port: 0 }] }), field: "ports[0].port", who: "EndpointSlice ns1/web-1" },
  {
    object: slice({ ports: [{ port: 1, protocol: "ICMP" }] }),
    field: "ports[0].protocol",
    who: "EndpointSlice ns1/web-1",
  },
  { object: slice({ endpoints: {} }), field: "endpoints", who: "EndpointSlice ns1/web-1" },
  {
    object: node({ status: { addresses: [{ type: "InternalIP", address: "x" }] } }),
    field: "status.addresses[0].address",
    who: "Node n1",
  },
  {
    object: node({}, { "topology.kubernetes.io/zone": 7 }),
    field: 'metadata.labels["topology.kubernetes.io/zone"]',
    who: "Node n1",
  },
  {
    object: {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "c" },
      spec: { cidrs: ["10.96.0.0"] },
    },
    field: "spec.cidrs[0]",
    who: "ServiceCIDR c",
  },
];

describe("refused, naming the object and the field (S28)", () => {
  for (const { object, field, who } of refused) {
    test(`${field}: ${JSON.stringify(object)?.slice(0, 120)}`, () => {
      const projection = project(object);
      assert.equal(projection.outcome, "refused");
      const first = projection.outcome === "refused" ? projection.refusals[0] : undefined;
      assert.deepEqual([first?.object, first?.field], [who ?? "Service ns1/web", field]);
      assert.doesNotMatch(first?.message ?? "", /\n/);
    });
  }

  test("every fault is named in one pass", () => {
    const projection = project(service({ type: "Weird", ports: [{ port: 0 }], externalIPs: ["x"] }));
    assert.ok(projection.outcome === "refused");
    assert.deepEqual(
      projection.refusals.map((refusal) => refusal.field),
      ["spec.type", "spec.ports[0].port", "spec.externalIPs[0]"],
    );
  });

  test("a fault is named once", () => {
    for (const addressType of [undefined, null, "", "IPv5", 5]) {
      const projection = project(slice({ addressType }));
      assert.ok(projection.outcome === "refused");
      assert.deepEqual(
        projection.refusals.map(({ field }) => field),
        ["addressType"],
      );
    }
  });

  test("what is too much to name is counted", () => {
    const projection = project(slice({ endpoints: Array.from({ length: 100 }, () => ({})) }));
    assert.ok(projection.outcome === "record");
    assert.equal(projection.refusals.length, 17);
    assert.deepEqual(projection.refusals.at(-1), {
      object: "EndpointSlice ns1/web-1",
      field: "…",
      message: "84 more faults",
    });
  });

  test("a quoted value is bounded", () => {
    const projection = project(service({ clusterIP: "x".repeat(10_000) }));
    assert.ok(projection.outcome === "refused");
    assert.ok((projection.refusals[0]?.message.length ?? 0) < 200);
  });
});

describe("Node and ServiceCIDR", () => {
  test("InternalIPs come before ExternalIPs (S8)", () => {
    const addresses = [
      { type: "ExternalIP", address: "192.0.2.1" },
      { type: "Hostname", address: "n1" },
      { type: "InternalIP", address: "10.0.0.1" },
      { type: "InternalIP", address: "fd00:0::1" },
      { type: "InternalIP", address: "10.0.0.1" },
    ];
    const record = recordOf(node({ status: { addresses } }, { "topology.kubernetes.io/zone": "z1" })) as NodeRecord;
    assert.deepEqual(record, { kind: "Node", name: "n1", zone: "z1", addresses: ["10.0.0.1", "fd00::1", "192.0.2.1"] });
  });

  test("ranges are canonical", () => {
    const object = {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "c" },
      spec: { cidrs: ["10.96.0.5/16", "fd00::/108"] },
    };
    assert.deepEqual((recordOf(object) as ServiceCidrRecord).cidrs, [
      { address: "10.96.0.0", length: 16 },
      { address: "fd00::", length: 108 },
    ]);
  });

  test("other kinds are ignored (S27)", () => {
    assert.equal(project({ apiVersion: "apps/v1", kind: "Deployment" }).outcome, "other");
  });
});
