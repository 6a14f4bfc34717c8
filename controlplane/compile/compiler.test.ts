import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { addressFromBytes } from "@weft/proto/address.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { hash64 } from "@weft/proto/hash.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import type { EndpointRecord, RecordChange, ServiceRecord, SourceRecord } from "../source/source.ts";
import { address, endpointRecord, nodeRecord, prefix, serviceRecord, sliceRecord } from "./compile-samples.ts";
import { Compiler } from "./compiler.ts";
import type { CompilerOptions } from "./compiler.ts";

const put = (record: SourceRecord): RecordChange => ({ op: "put", record });

function compile(records: readonly SourceRecord[], options: CompilerOptions = {}): readonly CompiledResource[] {
  const compiler = new Compiler(options);
  compiler.apply(records.map(put));
  return compiler.take().puts;
}

function onlyService(record: ServiceRecord): Extract<CompiledResource["value"], { kind: "service" }>["service"] {
  const [only] = compile([record]);
  assert.ok(only?.value.kind === "service");
  return only.value.service;
}

const texts = (addresses: readonly Uint8Array[]): string[] => addresses.map((bytes) => addressFromBytes(bytes));

/** "address ports flags node" of each backend, sorted. */
function backends(resources: readonly CompiledResource[]): string[] {
  const names = new Map(
    resources.flatMap(({ id, value }) => (value.kind === "name" ? [[id, value.name.value] as const] : [])),
  );
  const lines = resources.flatMap(({ value }) => {
    if (value.kind !== "backend") return [];
    const { backend } = value;
    const ports = backend.ports.map((port) => `${port.name}/${port.protocol}/${port.number}`).join(",");
    const flags = [
      backend.notReady ? "notReady" : "",
      backend.notServing ? "notServing" : "",
      backend.terminating ? "terminating" : "",
      backend.localCopy ? "local" : "",
    ].filter(Boolean);
    const parts = [addressFromBytes(backend.address), ports, ...flags, names.get(backend.node as ResourceId) ?? ""];
    return [parts.filter(Boolean).join(" ")];
  });
  return lines.toSorted();
}

describe("a Service resource", () => {
  test("lists are sorted, without repeats", () => {
    const service = onlyService(
      serviceRecord("ns1/web", {
        clusterIps: [address("fd00::1"), address("172.30.0.1")],
        externalIps: [address("192.0.2.9"), address("192.0.2.10"), address("192.0.2.9")],
        ports: [
          { name: "b", protocol: "UDP", port: 53, nodePort: 0 },
          { name: "b", protocol: "TCP", port: 53, nodePort: 0 },
          { name: "a", protocol: "TCP", port: 90, nodePort: 0 },
        ],
        loadBalancerSourceRanges: [
          prefix("fd00::/8"),
          prefix("10.0.0.0/16"),
          prefix("10.0.0.0/8"),
          prefix("10.1.2.3/8"),
        ],
      }),
    );
    assert.deepEqual(texts(service.clusterIps), ["172.30.0.1", "fd00::1"]);
    assert.deepEqual(texts(service.externalIps), ["192.0.2.9", "192.0.2.10"]);
    assert.deepEqual(
      service.ports.map((port) => `${port.name} ${port.protocol} ${port.port}`),
      ["a 1 90", "b 1 53", "b 2 53"],
    );
    assert.deepEqual(
      service.loadBalancerSourceRanges.map((range) => `${addressFromBytes(range.address)}/${range.length}`),
      ["10.0.0.0/8", "10.0.0.0/16", "fd00::/8"],
    );
  });

  test("addresses of a family without ClusterIP are left out (S11)", () => {
    const service = onlyService(
      serviceRecord("a/b", {
        externalIps: [address("fd00::9")],
        loadBalancerIps: [address("fd00::8"), address("192.0.2.1")],
      }),
    );
    assert.deepEqual([texts(service.externalIps), texts(service.loadBalancerIps)], [[], ["192.0.2.1"]]);
  });

  test("an address that is both is a load balancer's (S17)", () => {
    const ips = { externalIps: [address("192.0.2.1"), address("192.0.2.2")], loadBalancerIps: [address("192.0.2.1")] };
    const service = onlyService(serviceRecord("a/b", ips));
    assert.deepEqual([texts(service.externalIps), texts(service.loadBalancerIps)], [["192.0.2.2"], ["192.0.2.1"]]);
  });

  const policies: readonly {
    name: string;
    fields: Partial<ServiceRecord>;
    externalLocal: boolean;
    internalLocal: boolean;
  }[] = [
    {
      name: "of a ClusterIP does not count",
      fields: { externalTrafficPolicy: "Local" },
      externalLocal: false,
      internalLocal: false,
    },
    {
      name: "of a ClusterIP with external IPs counts",
      fields: { externalTrafficPolicy: "Local", externalIps: [address("192.0.2.1")] },
      externalLocal: true,
      internalLocal: false,
    },
    {
      name: "of a NodePort counts",
      fields: { externalTrafficPolicy: "Local", type: "NodePort" },
      externalLocal: true,
      internalLocal: false,
    },
    {
      name: "of a LoadBalancer counts",
      fields: { externalTrafficPolicy: "Local", type: "LoadBalancer" },
      externalLocal: true,
      internalLocal: false,
    },
    {
      name: "internal counts for itself",
      fields: { internalTrafficPolicy: "Local" },
      externalLocal: false,
      internalLocal: true,
    },
  ];
  for (const { name, fields, externalLocal, internalLocal } of policies) {
    test(`a Local policy ${name} (S13)`, () => {
      const service = onlyService(serviceRecord("a/b", fields));
      assert.deepEqual([service.externalLocal, service.internalLocal], [externalLocal, internalLocal]);
    });
  }

  test("carries id, bytes and hash that belong together", () => {
    for (const resource of compile([
      serviceRecord("a/b"),
      sliceRecord("a/s", "a/b", [endpointRecord("10.0.0.1", { nodeName: "n1" })]),
    ])) {
      assert.equal(resource.id, resourceId(resource.value.kind, resource.name));
      assert.equal(fromBinary(ResourceSchema, resource.bytes).id, resource.id);
      assert.deepEqual(resource.hash, hash64(resource.bytes));
    }
  });
});

describe("Backends", () => {
  const http = { name: "http", protocol: "TCP", number: 8080 } as const;
  const metrics = { name: "metrics", protocol: "TCP", number: 9090 } as const;
  const web = serviceRecord("a/b");

  test("endpoints of one address that are equal share a Backend, ports the Service does not have too (S34)", () => {
    const slices = [
      sliceRecord("a/1", "a/b", [endpointRecord("10.0.0.1")], [metrics, http]),
      sliceRecord("a/2", "a/b", [endpointRecord("10.0.0.1")], [{ ...http, number: 8081 }]),
    ];
    assert.deepEqual(backends(compile([web, ...slices])), ["10.0.0.1 http/1/8080,http/1/8081,metrics/1/9090"]);
  });

  test("endpoints of one address that differ are Backends of their own, and none is in two", () => {
    const slices = [
      sliceRecord("a/1", "a/b", [endpointRecord("10.0.0.1")], [http]),
      sliceRecord("a/2", "a/b", [endpointRecord("10.0.0.1", { isReady: false })], [http, metrics]),
    ];
    assert.deepEqual(backends(compile([web, ...slices])), ["10.0.0.1 http/1/8080", "10.0.0.1 metrics/1/9090 notReady"]);
  });

  test("families without ClusterIP have none", () => {
    const slices = [
      sliceRecord("a/1", "a/b", [endpointRecord("fd00::1")]),
      sliceRecord("a/2", "a/b", [endpointRecord("10.0.0.1")]),
    ];
    assert.deepEqual(backends(compile([web, ...slices])), ["10.0.0.1 http/1/8080"]);
  });

  test("a slice without numbered ports has none", () => {
    assert.deepEqual(backends(compile([web, sliceRecord("a/1", "a/b", [endpointRecord("10.0.0.1")], [])])), []);
  });

  test("hints are ids in ascending order, without repeats, whatever their order", () => {
    const zones = ["z3", "z1", "z2", "z1"];
    const orders = [zones, zones.toReversed()];
    const bytes = orders.map((zoneHints) =>
      compile([web, sliceRecord("a/1", "a/b", [endpointRecord("10.0.0.1", { zoneHints })])]).find(
        ({ value }) => value.kind === "backend",
      ),
    );
    assert.deepEqual(bytes[0]?.bytes, bytes[1]?.bytes);
    assert.ok(bytes[0]?.value.kind === "backend");
    const hints = bytes[0].value.backend.zoneHints;
    assert.equal(hints.length, 3);
    assert.deepEqual(
      hints,
      hints.toSorted((a, b) => (a < b ? -1 : 1)),
    );
  });

  const terminating: Partial<EndpointRecord> = { isTerminating: true, isReady: false };
  const winners: readonly {
    name: string;
    copies: readonly Partial<EndpointRecord>[];
    expected: string;
    /** Nodes on which another copy wins. */
    locals?: readonly string[];
  }[] = [
    {
      name: "not terminating before a nodeName",
      copies: [
        { ...terminating, nodeName: "n1" },
        { isReady: false, isServing: false },
      ],
      expected: "notReady notServing",
    },
    {
      name: "a nodeName before ready",
      copies: [{}, { nodeName: "n1", isReady: false, isServing: false }],
      expected: "notReady notServing n1",
    },
    { name: "ready before serving", copies: [{ isReady: false }, { isServing: false }], expected: "notServing" },
    {
      name: "serving before the rest",
      copies: [{ isReady: false, isServing: false }, { isReady: false }],
      expected: "notReady",
    },
    {
      name: "then the smaller slice name",
      copies: [{ nodeName: "n2" }, { nodeName: "n1" }],
      expected: "n2",
      locals: ["local n1"],
    },
    {
      name: "the local one before ready",
      copies: [{ nodeName: "n2" }, { nodeName: "n1", isReady: false }, { nodeName: "n1", isServing: false }],
      expected: "n2",
      locals: ["notServing local n1"],
    },
    {
      name: "not terminating before the local one",
      copies: [
        { ...terminating, nodeName: "n1" },
        { nodeName: "n2", isReady: false },
      ],
      expected: "notReady n2",
    },
    {
      name: "the local one among terminating ones",
      copies: [
        { ...terminating, nodeName: "n1" },
        { ...terminating, isServing: false, nodeName: "n2" },
        { ...terminating, nodeName: "n3" },
      ],
      expected: "notReady terminating n1",
      locals: ["notReady notServing terminating local n2", "notReady terminating local n3"],
    },
    {
      name: "one without a nodeName is local nowhere",
      copies: [{ nodeName: "n1" }, {}],
      expected: "n1",
    },
    {
      name: "among terminating ones by the same order",
      copies: [{ ...terminating, isServing: false }, { ...terminating }],
      expected: "notReady terminating",
    },
  ];
  for (const { name, copies, expected, locals = [] } of winners) {
    test(`copies that disagree: ${name} (S21)`, () => {
      const slices = copies.map((copy, i) => sliceRecord(`a/${i}`, "a/b", [endpointRecord("10.0.0.1", copy)]));
      const want = [expected, ...locals].map((of) => `10.0.0.1 http/1/8080 ${of}`.trim()).toSorted();
      assert.deepEqual(backends(compile([web, ...slices])), want);
      assert.deepEqual(backends(compile([...slices.toReversed(), web])), want);
    });
  }

  test("in one slice the first of equal copies wins", () => {
    const slice = sliceRecord("a/1", "a/b", [
      endpointRecord("10.0.0.1", { nodeName: "n9" }),
      endpointRecord("10.0.0.1", { nodeName: "n1" }),
    ]);
    assert.deepEqual(backends(compile([web, slice])), ["10.0.0.1 http/1/8080 local n1", "10.0.0.1 http/1/8080 n9"]);
  });

  test("local copies of one address and node share a Backend by the same rules, under a name of their own (S21)", () => {
    const slices = [
      sliceRecord("a/1", "a/b", [endpointRecord("10.0.0.1", { nodeName: "n2" })], [http, metrics]),
      sliceRecord("a/2", "a/b", [endpointRecord("10.0.0.1", { nodeName: "n1" })], [http, metrics]),
    ];
    const resources = compile([web, ...slices]);
    assert.deepEqual(backends(resources), [
      "10.0.0.1 http/1/8080,metrics/1/9090 local n1",
      "10.0.0.1 http/1/8080,metrics/1/9090 n2",
    ]);
    const names = resources.filter(({ value }) => value.kind === "backend").map(({ name }) => name);
    assert.deepEqual(names.toSorted(), [
      "a/b\u000010.0.0.1\u00001/8080/http\u00001/9090/metrics",
      "a/b\u000010.0.0.1\u00001/8080/http\u00001/9090/metrics\u0000@n1",
    ]);
  });
});

describe("changes", () => {
  const web = serviceRecord("a/b");
  const slice = sliceRecord("a/1", "a/b", [
    endpointRecord("10.0.0.1", { nodeName: "n1" }),
    endpointRecord("10.0.0.2", { nodeName: "n2" }),
  ]);

  test("a slice waits for its service", () => {
    const compiler = new Compiler();
    compiler.apply([put(slice)]);
    assert.deepEqual(compiler.take().puts, []);
    compiler.apply([put(web)]);
    assert.deepEqual(
      compiler
        .take()
        .puts.map(({ value }) => value.kind)
        .toSorted(),
      ["backend", "backend", "name", "name", "service"],
    );
  });

  test("an unchanged record changes nothing, and an unchanged backend is no put", () => {
    const compiler = new Compiler();
    compiler.apply([put(web), put(slice)]);
    compiler.take();
    compiler.apply([put(web), put(structuredClone(slice))]);
    const nothing = compiler.take();
    assert.deepEqual([nothing.puts, nothing.removals], [[], []]);
    compiler.apply([
      put({ ...slice, endpoints: [...slice.endpoints, endpointRecord("10.0.0.3", { nodeName: "n2" })] }),
    ]);
    const one = compiler.take();
    assert.deepEqual(
      one.puts.map(({ name }) => name.split("\0")[1]),
      ["10.0.0.3"],
    );
    assert.deepEqual(one.removals, []);
  });

  test("a name lives as long as a backend refers to it, over all services", () => {
    const compiler = new Compiler();
    compiler.apply([
      put(web),
      put(slice),
      put(serviceRecord("a/c")),
      put(sliceRecord("a/2", "a/c", [endpointRecord("10.0.0.9", { nodeName: "n1" })])),
    ]);
    compiler.take();
    compiler.apply([{ op: "remove", kind: "EndpointSlice", name: "a/1" }]);
    const first = compiler.take();
    assert.ok(first.removals.includes(resourceId("name", "n2")));
    assert.ok(!first.removals.includes(resourceId("name", "n1")));
    compiler.apply([{ op: "remove", kind: "Service", name: "a/c" }]);
    const second = compiler.take();
    assert.ok(second.removals.includes(resourceId("name", "n1")));
    assert.ok(second.removals.includes(resourceId("service", "a/c")));
    assert.equal(second.removals.length, 3);
  });

  test("a slice that moves to another service leaves the first", () => {
    const compiler = new Compiler();
    compiler.apply([put(web), put(serviceRecord("a/c")), put(sliceRecord("a/1", "a/b", [endpointRecord("10.0.0.1")]))]);
    compiler.take();
    compiler.apply([put(sliceRecord("a/1", "a/c", [endpointRecord("10.0.0.1")]))]);
    const moved = compiler.take();
    assert.deepEqual(
      moved.puts.map(({ name }) => name.split("\0")[0]),
      ["a/c"],
    );
    assert.equal(moved.removals.length, 1);
  });
});

describe("node views", () => {
  test("a zone concerns its node, a service CIDR all", () => {
    const compiler = new Compiler({ serviceCidrs: [prefix("10.96.0.0/16")] });
    compiler.apply([put(nodeRecord("n1", "z1")), put(nodeRecord("n2", ""))]);
    const first = compiler.take();
    assert.deepEqual([first.nodeViewsChanged, first.areNodesChanged], [new Set(["n1"]), true]);
    assert.deepEqual(compiler.nodeViewOf("n1"), { zone: "z1", serviceCidrs: [prefix("10.96.0.0/16")] });
    assert.deepEqual(compiler.nodeViewOf("unknown"), { zone: "", serviceCidrs: [prefix("10.96.0.0/16")] });

    compiler.apply([put({ kind: "ServiceCIDR", name: "c", cidrs: [prefix("10.96.0.0/16")] })]);
    assert.deepEqual(compiler.take().nodeViewsChanged, new Set());
    compiler.apply([put({ kind: "ServiceCIDR", name: "c", cidrs: [prefix("fd00::/108")] })]);
    assert.equal(compiler.take().nodeViewsChanged, "all");
    assert.deepEqual(compiler.serviceCidrs(), [prefix("10.96.0.0/16"), prefix("fd00::/108")]);

    compiler.apply([{ op: "remove", kind: "Node", name: "n1" }]);
    const last = compiler.take();
    assert.deepEqual([last.nodeViewsChanged, last.areNodesChanged], [new Set(["n1"]), true]);
    assert.equal(compiler.take().areNodesChanged, false);
  });
});

describe("two names with one id", () => {
  const collide = (kind: string, name: string): ResourceId =>
    kind === "service" && name.startsWith("a/") ? (7n as ResourceId) : resourceId(kind as "service", name);
  const big = serviceRecord("a/z");
  const small = serviceRecord("a/y", { clusterIps: [address("172.30.0.2")] });
  const bigSlice = sliceRecord("a/z-1", "a/z", [endpointRecord("10.0.0.1", { nodeName: "n1" })]);

  test("the smaller wins, the other is refused with its backends, whatever came first", () => {
    for (const records of [
      [big, bigSlice, small],
      [small, bigSlice, big],
    ]) {
      const compiler = new Compiler({ deriveId: collide });
      const puts = new Map<ResourceId, CompiledResource>();
      for (const record of records) {
        compiler.apply([put(record)]);
        const { puts: some, removals } = compiler.take();
        for (const resource of some) puts.set(resource.id, resource);
        for (const id of removals) puts.delete(id);
      }
      assert.deepEqual(
        [...puts.values()].map(({ name }) => name),
        ["a/y"],
      );
      compiler.apply([]);
      const { collisions } = compiler.take();
      assert.deepEqual(
        collisions.map((refusal) => refusal.object),
        ["Service a/z"],
      );
      assert.match(collisions[0]?.message ?? "", /Service a\/y/);
    }
  });

  test("the other takes its place when the smaller goes", () => {
    const compiler = new Compiler({ deriveId: collide });
    compiler.apply([put(big), put(bigSlice), put(small)]);
    compiler.take();
    compiler.apply([{ op: "remove", kind: "Service", name: "a/y" }]);
    const { puts, removals, collisions } = compiler.take();
    assert.deepEqual(new Set(puts.map(({ name }) => name.split("\0")[0])), new Set(["a/z", "n1"]));
    assert.equal(puts.length, 3);
    assert.deepEqual([removals, collisions], [[], []]);
  });
});
