import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Compiler } from "@weft/controlplane/compile/compiler.ts";
import { readManifests } from "@weft/controlplane/source/manifests/read-manifests.ts";
import { addressBytes, parseAddress } from "@weft/proto/address.ts";
import { runWeft, runWeftOn } from "./run-weft.ts";
import { scriptedFleet } from "./scripted-fleet.ts";

const manifests = `
apiVersion: v1
kind: Node
metadata: { name: n1 }
status: { addresses: [{ type: InternalIP, address: 192.168.1.1 }, { type: InternalIP, address: 192.168.1.2 }] }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  type: NodePort
  clusterIP: 172.30.0.41
  externalTrafficPolicy: Local
  sessionAffinity: ClientIP
  ports: [{ name: http, port: 80, nodePort: 30080 }]
---
apiVersion: v1
kind: Service
metadata: { name: dns, namespace: kube-system, annotations: { weft.dev/node-local: pass } }
spec: { clusterIP: 172.30.0.10, ports: [{ port: 53, protocol: UDP }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: shop, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints:
  - { addresses: [10.0.0.2], nodeName: n1 }
  - { addresses: [10.0.0.10], nodeName: n2 }
`;

const bad = `
apiVersion: v1
kind: Service
metadata: { name: bad, namespace: shop }
spec: { clusterIP: 172.30.0.42, ports: [{ port: 0 }] }
`;

const answered = (
  verdict: string,
  fields: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> => ({
  verdict,
  service: null,
  frontend: null,
  backends: [],
  snat: false,
  affinitySeconds: 0,
  ...fields,
});

/** Answers without their reasons, which must be there. */
function answersOf(stdout: string): readonly unknown[] {
  assert.ok(stdout.endsWith("\n"), stdout);
  return stdout
    .slice(0, -1)
    .split("\n")
    .map((line) => {
      const { reason, ...rest } = JSON.parse(line) as Readonly<Record<string, unknown>>;
      if ("error" in rest) assert.equal(typeof rest["error"], "string");
      else assert.ok(typeof reason === "string" && reason !== "", line);
      return "error" in rest ? { error: true } : rest;
    });
}

let root = "";
let dir = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "weft-cli-explain-"));
  dir = join(root, "good");
  await mkdir(dir);
  await writeFile(join(dir, "all.yaml"), manifests);
});
after(() => rm(root, { recursive: true }));

const web = { service: "shop/web:http", affinitySeconds: 10_800 };
const clusterCidr = ["--cluster-cidr", "10.0.0.0/16"];

describe("weft explain --from --to", () => {
  it("tells a person the steps, the backends and what is left out", async () => {
    const source = ["--manifests", dir, "--node", "n1", "--cluster-cidr", "10.0.0.0/16,fd00::/56"];
    const flow = ["--from", "203.0.113.9", "--to", "192.168.1.1:30080"];
    const { code, stdout, stderr } = await runWeft("explain", ...source, ...flow);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.equal(
      stdout,
      `203.0.113.9 to 192.168.1.1:30080/TCP on node n1: forward

  source      203.0.113.9 is outside of the node and the cluster CIDRs: external
  frontend    NodePort 192.168.1.1:30080/TCP of service shop/web:http
  policy      externalTrafficPolicy Local: endpoints on this node only
  endpoints   1 ready endpoint on this node
  affinity    a client stays with its backend for 10800 s
  source NAT  no: externalTrafficPolicy Local keeps the source

backends:
  10.0.0.2:8080

left out:
  10.0.0.10:8080  on node n2
`,
    );
  });

  it("tells a program one line", async () => {
    const source = ["--manifests", dir, "--node", "n1", ...clusterCidr, "-o", "json"];
    const flow = ["--from", "10.0.0.7", "--to", "172.30.0.041:80/TCP"];
    const { code, stdout } = await runWeft("explain", ...source, ...flow);
    const backends = ["10.0.0.10:8080", "10.0.0.2:8080"];
    assert.equal(code, 0);
    assert.deepEqual(answersOf(stdout), [answered("forward", { ...web, frontend: "ClusterIP", backends })]);
  });

  const switches: readonly {
    readonly is: string;
    readonly argv: readonly string[];
    readonly answer: Readonly<Record<string, unknown>>;
  }[] = [
    {
      is: "--service-cidr drops what no service has",
      argv: ["--from", "10.0.0.7", "--to", "172.30.0.99:80", "--service-cidr", "172.30.0.0/16"],
      answer: answered("drop"),
    },
    {
      is: "without it that is passed",
      argv: ["--from", "10.0.0.7", "--to", "172.30.0.99:80"],
      answer: answered("pass"),
    },
    {
      is: "--nodeport-addresses narrows",
      argv: ["--from", "10.0.0.7", "--to", "192.168.1.2:30080", "--nodeport-addresses", "primary"],
      answer: answered("pass"),
    },
    {
      is: "--nodeport-addresses adds loopback",
      argv: ["--from", "127.0.0.1", "--to", "127.0.0.1:30080", "--nodeport-addresses", "192.168.1.2/32,loopback"],
      answer: answered("forward", { ...web, frontend: "NodePort", backends: ["10.0.0.10:8080", "10.0.0.2:8080"] }),
    },
    {
      is: "the annotation passes a ClusterIP",
      argv: ["--from", "10.0.0.7", "--to", "172.30.0.10:53/UDP"],
      answer: answered("pass"),
    },
    {
      is: "--local-cluster-ips=serve serves it",
      argv: ["--from", "10.0.0.7", "--to", "172.30.0.10:53/UDP", "--local-cluster-ips", "serve"],
      answer: answered("reject", { service: "kube-system/dns", frontend: "ClusterIP" }),
    },
  ];
  for (const { is, argv, answer } of switches) {
    it(is, async () => {
      const common = ["--manifests", dir, "--node", "n1", ...clusterCidr, "-o", "json"];
      const { code, stdout } = await runWeft("explain", ...common, ...argv);
      assert.equal(code, 0);
      assert.deepEqual(answersOf(stdout), [answer]);
    });
  }

  it("refuses a command line that asks for nothing, for half, for both or for two families", async () => {
    const flow = ["--from", "10.0.0.7", "--to", "172.30.0.41:80"];
    for (const argv of [
      [],
      flow.slice(0, 2),
      flow.slice(2),
      [...flow, "--flows", "-"],
      ["--from", "fd00::1", ...flow.slice(2)],
      ["--from", "10.0.0.7", "--to", "172.30.0.41"],
      [...flow, "--cluster-cidr", "10.0.0.0"],
      [...flow, "--nodeport-addresses", "all"],
    ]) {
      const { code, stdout, stderr } = await runWeft("explain", "--manifests", dir, "--node", "n1", ...argv);
      assert.deepEqual({ code, stdout, lines: stderr.split("\n").length }, { code: 2, stdout: "", lines: 2 });
    }
  });

  it("exits with 2 when an object is refused, and with 1 when folder or Node are missing", async () => {
    const flow = ["--from", "10.0.0.7", "--to", "172.30.0.41:80", "-o", "json"];
    const refused = join(root, "refused");
    await mkdir(refused);
    await writeFile(join(refused, "all.yaml"), manifests);
    await writeFile(join(refused, "bad.yaml"), bad);
    const partly = await runWeft("explain", "--manifests", refused, "--node", "n1", ...flow);
    assert.equal(partly.code, 2);
    assert.match(partly.stderr, /bad\.yaml: Service shop\/bad: spec\.ports\[0\]\.port/);
    assert.equal(answersOf(partly.stdout).length, 1);
    for (const [folder, node] of [
      [join(root, "nowhere"), "n1"],
      [dir, "n9"],
    ] as const) {
      const { code, stdout, stderr } = await runWeft("explain", "--manifests", folder, "--node", node, ...flow);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.ok(stderr.includes(node === "n9" ? '"n9"' : folder), stderr);
    }
  });
});

const lines = [
  '{"from":"10.0.0.7","to":"172.30.0.41:80","protocol":"TCP"}',
  "nonsense",
  '{"from":"10.0.0.7","to":"172.30.0.41:80","protocol":"UDP"}',
  '{"from":"10.0.0.7","to":"172.30.0.41:99999"}',
  '{"from":"10.0.0.7","to":"198.51.100.1:443"}',
];
const answers = [
  answered("forward", { ...web, frontend: "ClusterIP", backends: ["10.0.0.10:8080", "10.0.0.2:8080"] }),
  { error: true },
  answered("reject", { frontend: "ClusterIP" }),
  { error: true },
  answered("pass"),
];

describe("weft explain --flows", () => {
  const common = (): string[] => ["explain", "--manifests", dir, "--node", "n1", ...clusterCidr, "--flows"];

  it("answers each line in its place and exits with 2 for one that is no flow", async () => {
    const file = join(root, "flows.ndjson");
    await writeFile(file, `${lines.join("\r\n")}\r\n`);
    const { code, stdout } = await runWeft(...common(), file);
    assert.equal(code, 2);
    assert.deepEqual(answersOf(stdout), answers);
  });

  it("reads stdin, without a last line end too", async () => {
    const { code, stdout } = await runWeftOn(lines.filter((_, i) => i % 2 === 0).join("\n"), ...common(), "-");
    assert.equal(code, 0);
    assert.deepEqual(
      answersOf(stdout),
      answers.filter((_, i) => i % 2 === 0),
    );
  });

  it("answers a line without end by an error, and nothing to nothing", async () => {
    const long = await runWeftOn(`${"x".repeat(1_000_000)}\n${lines[0]}\n`, ...common(), "-");
    assert.equal(long.code, 2);
    assert.deepEqual(answersOf(long.stdout), [{ error: true }, answers[0]]);
    assert.deepEqual(await runWeftOn("", ...common(), "-"), { code: 0, stdout: "", stderr: "" });
  });

  it("exits with 1 and names a file that cannot be read", async () => {
    for (const file of [join(root, "missing"), root]) {
      const { code, stdout, stderr } = await runWeft(...common(), file);
      assert.deepEqual({ code, stdout, lines: stderr.split("\n").length }, { code: 1, stdout: "", lines: 2 });
      assert.ok(stderr.includes(file), stderr);
    }
  });
});

describe("weft explain --controlplane", () => {
  it("answers the same as from the folder that the control plane reads", async () => {
    const compiler = new Compiler();
    compiler.apply((await readManifests(dir)).records.map((record) => ({ op: "put", record })));
    const resources = compiler.take().puts.map(({ bytes }) => Uint8Array.from(bytes));
    const addresses = ["192.168.1.1", "192.168.1.2"].map((text) =>
      Uint8Array.from(addressBytes(parseAddress(text) ?? assert.fail())),
    );
    using fleet = await scriptedFleet({
      *getState() {
        yield { nodeView: { zone: "" }, addresses: { addresses, nodePortAddresses: addresses } };
        for (const [part, bytes] of resources.entries())
          yield { delta: { to: 1n, part, parts: resources.length, resources: [bytes] } };
      },
    });
    const source = ["--controlplane", `127.0.0.1:${fleet.port}`, "--insecure"];
    for (const more of [[], ["--nodeport-addresses", "primary"], ["--local-cluster-ips", "serve"]]) {
      for (const to of ["192.168.1.2:30080", "172.30.0.10:53/UDP", "172.30.0.41:80"]) {
        const flow = ["--node", "n1", ...clusterCidr, "--from", "10.0.0.7", "--to", to, ...more];
        const remote = await runWeft("explain", ...source, ...flow);
        assert.deepEqual(remote, await runWeft("explain", "--manifests", dir, ...flow));
        assert.equal(remote.code, 0);
      }
    }
  });
});
