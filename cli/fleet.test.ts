import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { Protocol, ResourceSchema, ServiceType, type Resource } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type {
  ConfirmRemovalResponseSchema,
  WatchRevisionsResponseSchema,
} from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { resourceId } from "@weft/proto/ids.ts";
import { runWeft, startWeft } from "./run-weft.ts";
import { Refusal, scriptedFleet } from "./scripted-fleet.ts";

const target = (port: number): string[] => ["--controlplane", `127.0.0.1:${port}`, "--insecure"];
const epoch = { createdMs: 1_763_881_972_000n, random: 0x9f3a12bc };

describe("weft confirm-removal", () => {
  const removal = { services: 20, ofServices: 21, serviceNames: ["shop/a", "shop/b"] };
  const answers: readonly (readonly [
    name: string,
    answer: MessageInitShape<typeof ConfirmRemovalResponseSchema>,
    text: string,
    json: string,
  ])[] = [
    [
      "of the source and of nodes",
      { removal, nodes: 1, nodeNames: ["n1"] },
      "confirmed: 20 of 21 services are removed: shop/a, shop/b, and 18 more\nconfirmed for 1 node: n1\n",
      '{"services":20,"ofServices":21,"serviceNames":["shop/a","shop/b"],"nodes":1,"nodeNames":["n1"]}\n',
    ],
    [
      "of nothing",
      {},
      "nothing is held\n",
      '{"services":0,"ofServices":0,"serviceNames":[],"nodes":0,"nodeNames":[]}\n',
    ],
  ];
  for (const [name, answer, text, json] of answers) {
    it(`prints what it confirmed: ${name}`, async () => {
      using fleet = await scriptedFleet({ confirmRemoval: () => answer });
      assert.deepEqual(await runWeft("confirm-removal", ...target(fleet.port)), { code: 0, stdout: text, stderr: "" });
      const asJson = await runWeft("confirm-removal", "-o", "json", ...target(fleet.port));
      assert.deepEqual(asJson, { code: 0, stdout: json, stderr: "" });
    });
  }
});

describe("weft status", () => {
  const failures = [
    { service: "shop/web", category: FailureCategory.CAPACITY, reason: "does not fit; raise --backends-max" },
  ];
  const nodes = [
    { node: "n1", connected: true, received: 7n, applied: 7n, roundTripUs: 1_250, versions: { dataplane: "kernel" } },
    { node: "n2", connected: false, applied: 5n, lag: 2n, failures, failuresTotal: 2 },
  ];
  const json =
    '{"epoch":"1763881972000-9f3a12bc","revision":7,"nodes":[' +
    '{"node":"n1","connected":true,"received":7,"applied":7,"lag":0,"roundTripMs":1.25,"failures":[]},' +
    '{"node":"n2","connected":false,"received":0,"applied":5,"lag":2,"roundTripMs":null,"failures":' +
    '[{"service":"shop/web","category":"capacity","reason":"does not fit; raise --backends-max"}]}]}\n';

  it("prints one object with -o json", async () => {
    using fleet = await scriptedFleet({ getStatus: () => ({ status: { epoch, revision: 7n, synced: true, nodes } }) });
    assert.deepEqual(await runWeft("status", "-o", "json", ...target(fleet.port)), {
      code: 0,
      stdout: json,
      stderr: "",
    });
  });

  it("prints a table for people, with each failure", async () => {
    using fleet = await scriptedFleet({ getStatus: () => ({ status: { epoch, revision: 7n, synced: true, nodes } }) });
    const { stdout } = await runWeft("status", ...target(fleet.port));
    assert.deepEqual(stdout.split("\n"), [
      "epoch 1763881972000-9f3a12bc  revision 7",
      "NODE  CONNECTED  RECEIVED  APPLIED  LAG  ROUND-TRIP  DATAPLANE  FAILURES",
      "n1    yes        7         7        0    1.3 ms      kernel     0",
      "n2    no         0         5        2    -           -          2",
      "n2: shop/web: capacity: does not fit; raise --backends-max",
      "n2: and 1 more",
      "",
    ]);
  });

  it("says what is held back, behind what is always there", async () => {
    const heldRemoval = { services: 12, ofServices: 14, sinceMs: 1_763_881_972_000n, untilMs: 1_763_882_572_000n };
    using fleet = await scriptedFleet({ getStatus: () => ({ status: { epoch, revision: 7n, nodes, heldRemoval } }) });
    const { stdout } = await runWeft("status", "-o", "json", ...target(fleet.port));
    const held =
      ',"heldRemoval":{"services":12,"ofServices":14,"since":"2025-11-23T07:12:52.000Z",' +
      '"until":"2025-11-23T07:22:52.000Z","serviceNames":[]}}\n';
    assert.equal(stdout, json.replace(/}\n$/, held));
    const text = await runWeft("status", ...target(fleet.port));
    assert.match(text.stdout, /^MASS REMOVAL HELD: the source lacks 12 of 14 services .*`weft confirm-removal`$/m);
  });

  it("goes on with --watch until it is interrupted", async () => {
    const hold = Promise.withResolvers<void>();
    using fleet = await scriptedFleet({
      async *watchStatus() {
        yield { status: { epoch, revision: 6n } };
        yield { status: { epoch, revision: 7n, nodes } };
        await hold.promise;
      },
    });
    const weft = startWeft("status", "-o", "json", "--watch", ...target(fleet.port));
    await weft.said('"revision":7');
    weft.child.kill("SIGINT");
    const { code, stdout, stderr } = await weft.ended;
    hold.resolve();
    const first = '{"epoch":"1763881972000-9f3a12bc","revision":6,"nodes":[]}\n';
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: first + json, stderr: "" });
  });

  it("ends quietly when its reader goes away", async () => {
    using fleet = await scriptedFleet({
      async *watchStatus() {
        for (let i = 1n; ; i++) {
          yield { status: { epoch, revision: i } };
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      },
    });
    const weft = startWeft("status", "-o", "json", "--watch", ...target(fleet.port));
    await weft.said('"revision":2');
    weft.child.stdout?.destroy();
    const { code, stderr } = await weft.ended;
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  });
});

describe("weft get", () => {
  const name = (value: string): Resource =>
    create(ResourceSchema, { id: resourceId("name", value), kind: { case: "name", value: { value } } });
  const backend = (last: number, more: object): Resource =>
    create(ResourceSchema, {
      id: resourceId("backend", `${last}`),
      kind: {
        case: "backend",
        value: {
          service: resourceId("service", "shop/web"),
          address: Uint8Array.of(10, 0, 0, last),
          ports: [{ name: "http", protocol: Protocol.TCP, number: 8_080 }],
          ...more,
        },
      },
    });
  const resources = [
    name("n1"),
    name("z1"),
    backend(2, { notReady: true, terminating: true }),
    backend(1, {
      node: resourceId("name", "n1"),
      zone: resourceId("name", "z1"),
      zoneHints: [resourceId("name", "z1")],
    }),
    create(ResourceSchema, {
      id: resourceId("service", "shop/web"),
      kind: {
        case: "service",
        value: {
          name: "shop/web",
          type: ServiceType.NODE_PORT,
          clusterIps: [Uint8Array.of(172, 30, 0, 1)],
          externalIps: [Uint8Array.of(192, 0, 2, 1)],
          ports: [{ name: "http", protocol: Protocol.TCP, port: 80, nodePort: 30_080 }],
          externalLocal: true,
        },
      },
    }),
  ].map((resource) => toBinary(ResourceSchema, resource));
  const script = {
    *getState({ node }: { readonly node: string }) {
      assert.equal(node, "");
      yield { epoch };
      yield { delta: { to: 7n, resources } };
    },
  };

  it("lists services and backends as NDJSON", async () => {
    using fleet = await scriptedFleet(script);
    const services = await runWeft("get", "services", "-o", "json", ...target(fleet.port));
    assert.deepEqual(services, {
      code: 0,
      stdout:
        '{"service":"shop/web","type":"NodePort","clusterIPs":["172.30.0.1"],"externalIPs":["192.0.2.1"],"loadBalancerIPs":[],' +
        '"ports":[{"name":"http","protocol":"TCP","port":80,"nodePort":30080}],"externalTrafficPolicy":"Local",' +
        '"internalTrafficPolicy":"Cluster","affinitySeconds":0,"loadBalancerSourceRanges":[],"healthCheckNodePort":0,"backends":2}\n',
      stderr: "",
    });
    const backends = await runWeft("get", "backends", "-o", "json", ...target(fleet.port));
    const port = '"ports":[{"name":"http","protocol":"TCP","number":8080}]';
    assert.equal(
      backends.stdout,
      `{"service":"shop/web","address":"10.0.0.1",${port},"node":"n1","zone":"z1","ready":true,"serving":true,"terminating":false,"zoneHints":["z1"],"nodeHints":[]}\n` +
        `{"service":"shop/web","address":"10.0.0.2",${port},"node":"","zone":"","ready":false,"serving":true,"terminating":true,"zoneHints":[],"nodeHints":[]}\n`,
    );
  });

  it("prints tables for people", async () => {
    using fleet = await scriptedFleet(script);
    const services = await runWeft("get", "services", ...target(fleet.port));
    assert.match(services.stdout, /^SERVICE .*\nshop\/web +NodePort +172\.30\.0\.1 +192\.0\.2\.1 +80:30080\/TCP +2\n$/);
    const backends = await runWeft("get", "backends", ...target(fleet.port));
    assert.match(backends.stdout, /\nshop\/web +10\.0\.0\.2 +http=8080\/TCP +- +- +not ready, serving, terminating\n$/);
  });
});

describe("weft revisions", () => {
  const events: readonly MessageInitShape<typeof WatchRevisionsResponseSchema>[] = [
    {
      event: {
        case: "commit",
        value: {
          revision: 7n,
          puts: 1,
          removals: 2,
          bytes: 98n,
          committedAtUs: 1_763_881_972_000_500n,
          services: ["shop/web"],
        },
      },
    },
    {
      event: {
        case: "ack",
        value: { node: "n1", revision: 7n, commitToAckUs: 900n, durations: { receivedToActiveUs: 250 } },
      },
    },
    { event: { case: "convergence", value: { revision: 7n, percent: 100, elapsedUs: 1_500n, nodes: 3 } } },
    {},
  ];
  const hold = Promise.withResolvers<void>();
  const script = {
    getStatus: () => ({ status: { epoch, revision: 7n } }),
    async *watchRevisions({ past }: { readonly past: number }) {
      assert.equal(past, 5);
      yield* events;
      await hold.promise;
    },
  };

  it("shows the past and ends", async () => {
    using fleet = await scriptedFleet(script);
    const { code, stdout } = await runWeft("revisions", "--past", "5", ...target(fleet.port));
    assert.equal(code, 0);
    assert.match(stdout, /^REVISION .*\n7 +2025-11-23T07:12:52\.000Z +1 +2 +98 +- +- +- +1\.5 ms +shop\/web\n$/);
  });

  it("goes on with --watch, as NDJSON for programs", async () => {
    using fleet = await scriptedFleet(script);
    const weft = startWeft("revisions", "--watch", "-o", "json", "--past", "5", ...target(fleet.port));
    await weft.said('"convergence"');
    weft.child.kill("SIGTERM");
    const { code, stdout } = await weft.ended;
    hold.resolve();
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly event: string });
    assert.equal(code, 0);
    assert.deepEqual(
      lines.map(({ event }) => event),
      ["commit", "ack", "convergence"],
    );
  });
});

describe("a control plane that cannot be asked", () => {
  const commands = [
    ["status"],
    ["status", "--watch"],
    ["get", "services"],
    ["get", "backends"],
    ["revisions"],
    ["plan", "--node", "n1"],
  ];
  const refusals = [
    {
      code: status.PERMISSION_DENIED,
      details: "system:node:n1 may not read the fleet; use a certificate without a node's identity",
      says: /refuses: system:node:n1 may not read the fleet/,
    },
    { code: status.UNAVAILABLE, details: "the source is not synced yet; try again", says: /not synced yet/ },
    { code: status.UNIMPLEMENTED, details: "unknown method", says: /does not offer this.*ask a control plane of Weft/ },
    { code: status.INTERNAL, details: "broken", says: /failed: broken; see its log/ },
  ];
  for (const command of commands) {
    it(`weft ${command.join(" ")}: one line with what to do, exit 1`, async () => {
      const gone = await scriptedFleet({});
      gone.kill();
      const unreachable = await runWeft(...command, ...target(gone.port));
      assert.deepEqual({ code: unreachable.code, stdout: unreachable.stdout }, { code: 1, stdout: "" });
      assert.match(
        unreachable.stderr,
        /^weft: control plane 127\.0\.0\.1:\d+ is unreachable: connect ECONNREFUSED .*; check --controlplane .*\n$/,
      );
    });
  }
  for (const { code, details, says } of refusals) {
    it(`answers ${code}: ${details}`, async () => {
      const refuse = (): never => {
        throw new Refusal(code, details);
      };
      using fleet = await scriptedFleet({ getStatus: refuse, getState: refuse });
      for (const command of [["status"], ["get", "services"]]) {
        const ended = await runWeft(...command, ...target(fleet.port));
        assert.deepEqual(
          { code: ended.code, stdout: ended.stdout, lines: ended.stderr.split("\n").length },
          { code: 1, stdout: "", lines: 2 },
        );
        assert.match(ended.stderr, says);
      }
    });
  }

  it("is asked with TLS though it has none, or with files that are not there", async () => {
    using fleet = await scriptedFleet({});
    const ca = new URL("../package.json", import.meta.url).pathname;
    for (const [file, says] of [
      [ca, /--tls-ca .*package\.json has no PEM certificate/],
      ["/nonexistent.pem", /--tls-ca \/nonexistent\.pem/],
    ] as const) {
      const { code, stderr } = await runWeft("status", "--controlplane", `127.0.0.1:${fleet.port}`, "--tls-ca", file);
      assert.equal(code, 1);
      assert.match(stderr, says);
    }
    assert.equal((await runWeft("status", "--controlplane", `127.0.0.1:${fleet.port}`)).code, 2);
  });
});
