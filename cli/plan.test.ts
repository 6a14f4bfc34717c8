import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { Compiler } from "@weft/controlplane/compile/compiler.ts";
import { readManifests } from "@weft/controlplane/source/manifests/read-manifests.ts";
import { addressBytes, parseAddress } from "@weft/proto/address.ts";
import { DeltaSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { runWeft } from "./run-weft.ts";
import { Refusal, scriptedFleet } from "./scripted-fleet.ts";

const node = (name: string, zone: string, address: string): string => `
apiVersion: v1
kind: Node
metadata: { name: ${name}, labels: { topology.kubernetes.io/zone: ${zone} } }
status: { addresses: [{ type: InternalIP, address: ${address} }] }
---`;

const service = (name: string, clusterIp: string, more = ""): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { type: NodePort, clusterIP: ${clusterIp}, ports: [{ name: http, port: 80, nodePort: 30080 }]${more} }
---`;

const slice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: shop, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints:
  - { addresses: [10.0.0.2], nodeName: n1, hints: { forZones: [{ name: z1 }] } }
  - { addresses: [10.0.0.10], nodeName: n2, hints: { forZones: [{ name: z2 }] } }
---`;

const good = node("n1", "z1", "10.9.0.1") + node("n2", "z2", "10.9.0.2") + service("web", "172.30.0.041") + slice;

const line = (address: string, port: number, kind: string, scope: string, backend: string): string =>
  `{"address":"${address}","port":${port},"protocol":"TCP","kind":"${kind}","scope":"${scope}","service":"shop/web:http",` +
  `"action":"forward","backends":["${backend}"],"affinitySeconds":0}\n`;

const linesOf = (nodeAddress: string, backend: string): string =>
  ["external", "internal"].map((scope) => line(nodeAddress, 30_080, "NodePort", scope, backend)).join("") +
  ["external", "internal"].map((scope) => line("172.30.0.41", 80, "ClusterIP", scope, backend)).join("");

let root = "";
const folder = async (name: string, files: Readonly<Record<string, string>>): Promise<string> => {
  const dir = join(root, name);
  await mkdir(dir);
  for (const [file, text] of Object.entries(files)) await writeFile(join(dir, file), text);
  return dir;
};

before(async () => {
  root = await mkdtemp(join(tmpdir(), "weft-cli-plan-"));
});
after(() => rm(root, { recursive: true }));

describe("weft plan --manifests", () => {
  it("prints the plan of each node, from its own zone and addresses", async () => {
    const dir = await folder("good", { "all.yaml": good });
    for (const [name, expected] of [
      ["n1", linesOf("10.9.0.1", "10.0.0.2:8080")],
      ["n2", linesOf("10.9.0.2", "10.0.0.10:8080")],
    ] as const) {
      assert.deepEqual(await runWeft("plan", "--manifests", dir, "--node", name), {
        code: 0,
        stdout: expected,
        stderr: "",
      });
    }
  });

  it("answers the rest and exits with 2 when an object, a file or a frontend is refused", async () => {
    const bad = {
      "object.yaml": [service("bad", "172.30.0.9", ", externalIPs: [nonsense]"), /object\.yaml: Service shop\/bad: /],
      "file.yaml": ["kind: [", /file\.yaml/],
      "conflict.yaml": [
        service("zzz", "172.30.0.10"),
        /NodePort 10\.9\.0\.1 port 30080\/TCP of service shop\/zzz:http is refused: service shop\/web:http holds it/,
      ],
    } as const;
    for (const [file, [text, refusal]] of Object.entries(bad)) {
      const dir = await folder(`bad-${file}`, { "all.yaml": good, [file]: text });
      const { code, stdout, stderr } = await runWeft("plan", "--manifests", dir, "--node", "n1");
      assert.equal(code, 2, file);
      assert.match(stderr, refusal);
      for (const wanted of linesOf("10.9.0.1", "10.0.0.2:8080").trim().split("\n"))
        assert.ok(stdout.includes(wanted), file);
    }
  });

  it("exits with 1 and names the folder or the Node that is missing", async () => {
    const dir = await folder("nodeless", { "service.yaml": service("web", "172.30.0.1") });
    const missing = [
      { argv: ["--manifests", join(root, "nowhere"), "--node", "n1"], says: /nowhere/ },
      { argv: ["--manifests", dir, "--node", "n1"], says: /"n1".*nodeless.*no Node object/ },
      {
        argv: ["--manifests", await folder("other", { "all.yaml": good }), "--node", "n3"],
        says: /"n3".*it has n1, n2/,
      },
    ];
    for (const { argv, says } of missing) {
      const { code, stdout, stderr } = await runWeft("plan", ...argv);
      assert.deepEqual({ code, stdout, lines: stderr.split("\n").length }, { code: 1, stdout: "", lines: 2 });
      assert.match(stderr, says);
    }
  });

  it("refuses a command line that names no source, or two", async () => {
    for (const argv of [[], ["--manifests", root, "--controlplane", "127.0.0.1:1", "--insecure"]]) {
      const { code, stdout } = await runWeft("plan", "--node", "n1", ...argv);
      assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    }
  });
});

describe("weft plan --controlplane", () => {
  it("prints the same bytes as from the folder that the control plane reads", async () => {
    const dir = await folder("served", { "all.yaml": good });
    const compiler = new Compiler();
    compiler.apply((await readManifests(dir)).records.map((record) => ({ op: "put", record })));
    const resources = compiler.take().puts.map(({ bytes }) => Uint8Array.from(bytes));
    const address = Uint8Array.from(addressBytes(parseAddress("10.9.0.1") ?? assert.fail()));
    using fleet = await scriptedFleet({
      *getState({ node: asked }) {
        assert.equal(asked, "n1");
        yield { nodeView: { zone: "z1" }, addresses: { addresses: [address], nodePortAddresses: [address] } };
        for (const [part, bytes] of resources.entries()) {
          yield { delta: { to: 1n, part, parts: resources.length, resources: [bytes] } };
        }
      },
    });
    const remote = await runWeft("plan", "--controlplane", `127.0.0.1:${fleet.port}`, "--insecure", "--node", "n1");
    assert.deepEqual(remote, await runWeft("plan", "--manifests", dir, "--node", "n1"));
    assert.equal(remote.stdout, linesOf("10.9.0.1", "10.0.0.2:8080"));
  });

  it("plans what the agent reported of NodePorts and local addresses, unless flags say otherwise", async () => {
    const dir = await folder("reported", { "all.yaml": good });
    const compiler = new Compiler();
    compiler.apply((await readManifests(dir)).records.map((record) => ({ op: "put", record })));
    const resources = compiler.take().puts.map(({ bytes }) => Uint8Array.from(bytes));
    const bytesOf = (text: string): Uint8Array<ArrayBuffer> =>
      Uint8Array.from(addressBytes(parseAddress(text) ?? assert.fail()));
    using fleet = await scriptedFleet({
      *getState() {
        yield {
          addresses: {
            addresses: ["10.9.0.1", "10.9.0.2"].map(bytesOf),
            nodePortAddresses: ["10.9.0.2"].map(bytesOf),
            localAddresses: ["172.30.0.41"].map(bytesOf),
          },
        };
        for (const [part, bytes] of resources.entries())
          yield { delta: { to: 1n, part, parts: resources.length, resources: [bytes] } };
      },
    });
    const planned = async (...flags: readonly string[]): Promise<readonly string[]> => {
      const source = ["--controlplane", `127.0.0.1:${fleet.port}`, "--insecure", "--node", "n1"];
      const { code, stdout } = await runWeft("plan", ...source, ...flags);
      assert.equal(code, 0);
      return stdout
        .trim()
        .split("\n")
        .map((text) => {
          const { address, kind, scope } = JSON.parse(text) as Readonly<Record<string, unknown>>;
          return `${String(address)} ${String(kind)} ${String(scope)}`;
        });
    };
    const external = "172.30.0.41 ClusterIP external";
    const internal = "172.30.0.41 ClusterIP internal";
    const nodePort = (address: string): string[] => [`${address} NodePort external`, `${address} NodePort internal`];
    assert.deepEqual(await planned(), [...nodePort("10.9.0.2"), external]);
    assert.deepEqual(await planned("--local-cluster-ips", "serve"), [...nodePort("10.9.0.2"), external, internal]);
    assert.deepEqual(await planned("--nodeport-addresses", "primary,loopback"), [
      ...nodePort("10.9.0.1"),
      "127.0.0.1 NodePort internal",
      external,
    ]);
  });

  it("exits with 1 and names a node that the control plane does not know", async () => {
    using fleet = await scriptedFleet({
      getState() {
        throw new Refusal(status.NOT_FOUND, 'node "n7": no Node object has this name, and no agent connected with it');
      },
    });
    const { code, stdout, stderr } = await runWeft(
      "plan",
      "--controlplane",
      `127.0.0.1:${fleet.port}`,
      "--insecure",
      "--node",
      "n7",
    );
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(
      stderr,
      /^weft: control plane 127\.0\.0\.1:\d+: node "n7": no Node object.*; weft status lists the nodes that it knows\n$/,
    );
  });

  it("refuses a state that it cannot decode without a stack trace", async () => {
    using fleet = await scriptedFleet({
      *getState() {
        yield { delta: create(DeltaSchema, { to: 1n, resources: [Uint8Array.from([0xff, 0xff, 0xff])] }) };
      },
    });
    const { code, stdout, stderr } = await runWeft(
      "plan",
      "--controlplane",
      `127.0.0.1:${fleet.port}`,
      "--insecure",
      "--node",
      "n1",
    );
    assert.deepEqual({ code, stdout, lines: stderr.split("\n").length }, { code: 1, stdout: "", lines: 2 });
    assert.match(stderr, /resource/);
  });
});
