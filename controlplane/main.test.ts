import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { credentials, status } from "@grpc/grpc-js";
import type { ChannelCredentials } from "@grpc/grpc-js";
import { addressBytes, addressFromBytes } from "@weft/proto/address.ts";
import { GoawayReason, SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FleetService, WaitOutcome } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import { HeldResources } from "./fanout/held-resources.ts";
import { ScriptedAgent } from "./fanout/scripted-agent.ts";
import { FleetClient } from "./fleet/testing-fleet-client.ts";
import { address } from "./fleet/testing-resources.ts";
import { ScriptedApi } from "./source/kubernetes/scripted-api.ts";
import { ControlPlane, runControlPlane } from "./testing-control-plane.ts";

const service = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  ports: [{port: 80, targetPort: 8080}]
`;

interface Endpoint {
  readonly address: string;
  readonly state?: "not-ready" | "terminating";
}

function slice(endpoints: readonly Endpoint[]): string {
  const lines = endpoints.map(({ address: of, state }) => {
    const isTerminating = state === "terminating";
    return `- {addresses: [${of}], conditions: {ready: ${state === undefined}, serving: ${state !== "not-ready"}, terminating: ${isTerminating}}}`;
  });
  return `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
${lines.join("\n")}
`;
}

function nodeObject(name: string, internalIp: string): string {
  return `apiVersion: v1
kind: Node
metadata: {name: ${name}, labels: {topology.kubernetes.io/zone: z1}}
status: {addresses: [{type: InternalIP, address: ${internalIp}}]}
---
`;
}

// What every program has, and what belongs to a part of this one.
const subsystemName =
  /^weft_(?:build_info|metrics_series|(?:process|source|kubernetes|compile|catalog|log|fanout|fleet)_)/;

const both = [{ address: "10.0.0.1" }, { address: "10.0.0.2" }];
const files = { "service.yaml": service, "slice.yaml": slice(both), "nodes.yaml": nodeObject("n1", "192.168.0.1") };
const drained = [{ address: addressBytes(address("10.0.0.1")), port: 8080 }];

async function agentOf(plane: ControlPlane, name: string): Promise<ScriptedAgent> {
  const agent = new ScriptedAgent({ address: plane.grpc, node: name }).hello();
  await agent.untilRevision(1);
  return agent;
}

test("prints one ready line, serves its pages and ends with 0 on SIGTERM", async () => {
  await using plane = await ControlPlane.start(files);
  await plane.logged(/info revision revision=1 /);
  assert.deepEqual(await plane.get("/livez"), { status: 200, body: "ok\n" });
  assert.deepEqual(await plane.get("/readyz"), { status: 200, body: "ready\n" });
  const metrics = await plane.get("/metrics");
  assert.match(metrics.body, /^weft_catalog_revision 1$/m);
  assert.match(metrics.body, /^weft_fleet_nodes\{state="disconnected"\} 1$/m);
  const documented = readFileSync(new URL("../docs/metrics.md", import.meta.url), "utf8");
  for (const [, name] of metrics.body.matchAll(/^# HELP (\S+)/gm)) {
    assert.match(documented, new RegExp(`^\\| \`${name}[\`{]`, "m"), `docs/metrics.md lacks ${name}`);
    if (name?.startsWith("weft_") === true) assert.match(name, subsystemName);
  }
  assert.equal((await plane.get("/nothing")).status, 404);
  assert.equal(await plane.stop("SIGTERM"), 0);
  assert.match(plane.stdout, /^ready grpc=127\.0\.0\.1:\d+ http=127\.0\.0\.1:\d+\n$/);
});

test("serves an empty folder as revision 1", async () => {
  await using plane = await ControlPlane.start({});
  await plane.logged(/info revision revision=1 puts=0/);
  assert.equal((await plane.get("/readyz")).status, 200);
});

test("an edit reaches the agent, and the ack comes back to status and wait", async () => {
  await using plane = await ControlPlane.start(files);
  using client = new FleetClient(plane.grpc);
  const agent = await agentOf(plane, "n1");
  const waiting = client.wait({ cursor: { revision: 2n } });
  await plane.write("slice.yaml", slice([{ address: "10.0.0.1" }]));
  const { result } = await waiting;
  assert.deepEqual([result?.outcome, result?.have, result?.need], [WaitOutcome.DONE, 1, 1]);
  assert.equal(agent.held.cursor?.revision, 2);

  const fleet = await client.status();
  const [n1] = fleet.nodes;
  assert.deepEqual([fleet.revision, fleet.synced, fleet.nodes.length], [2n, true, 1]);
  assert.deepEqual([n1?.node, n1?.connected, n1?.received, n1?.applied, n1?.lag], ["n1", true, 2n, 2n, 0n]);
  assert.equal(n1?.digest, agent.held.digest);
  await plane.logged(/info revision runs on all nodes revision=2 nodes=1 /);
  await agent.close();
  const after = await client.wait({ cursor: { revision: 2n }, timeoutMs: 50 });
  assert.equal(after.result?.outcome, WaitOutcome.TIMEOUT);
  assert.match(after.result?.missing[0]?.reason ?? "", /^disconnected \d+ s ago$/);
});

test("a drained wait notes the terminating fallback, and is done once another backend is ready", async () => {
  await using plane = await ControlPlane.start(files);
  using client = new FleetClient(plane.grpc);
  const agent = await agentOf(plane, "n1");
  const early = await client.wait({ drained, timeoutMs: 50 });
  assert.equal(early.result?.outcome, WaitOutcome.TIMEOUT);
  assert.deepEqual(
    early.result?.missing.map(({ reason }) => reason),
    ["shop/web can choose 10.0.0.1:8080"],
  );

  const noted = Promise.withResolvers<string>();
  const waiting = client.wait({ drained }, noted.resolve);
  await plane.write("slice.yaml", slice([{ address: "10.0.0.1", state: "terminating" }]));
  assert.match(await noted.promise, /^shop\/web has no ready endpoint, so it can still choose 10\.0\.0\.1:8080/);
  await plane.write("slice.yaml", slice([{ address: "10.0.0.1", state: "terminating" }, { address: "10.0.0.2" }]));
  const { result } = await waiting;
  assert.equal(result?.outcome, WaitOutcome.DONE);
  assert.equal(result?.notes.length, 1);
  await agent.close();
});

test("a node that acked without applying the revision is missing, with its cursor", async () => {
  await using plane = await ControlPlane.start({ ...files, "more.yaml": nodeObject("n2", "192.168.0.2") });
  using client = new FleetClient(plane.grpc);
  const good = await agentOf(plane, "n1");
  const late = new ScriptedAgent({ address: plane.grpc, node: "n2", doesAck: false }).hello();
  await late.untilRevision(1);
  late.ack({ revision: 1 });
  await plane.write("slice.yaml", slice([]));
  await good.untilRevision(2);
  const all = await client.wait({ cursor: { revision: 2n }, timeoutMs: 200 });
  assert.deepEqual([all.result?.have, all.result?.need], [1, 2]);
  assert.deepEqual(
    all.result?.missing.map(({ node: name, applied, reason }) => [name, applied, reason]),
    [["n2", 1n, "applied 1 of 2"]],
  );
  const half = await client.wait({ cursor: { revision: 2n }, quorum: { kind: { case: "percent", value: 50 } } });
  assert.equal(half.result?.outcome, WaitOutcome.DONE);
  assert.deepEqual(
    half.result?.missing.map(({ node: name }) => name),
    ["n2"],
  );
  await Promise.all([good.close(), late.close()]);
});

test("a state is what an agent of that node holds", async () => {
  await using plane = await ControlPlane.start(files);
  using client = new FleetClient(plane.grpc);
  const agent = await agentOf(plane, "n1");
  await client.wait({ cursor: { revision: 1n } });
  const { messages, end } = await client.state({ node: "n1" });
  assert.equal(end.status, "OK");
  assert.equal(messages[0]?.nodeView?.zone, "z1");
  assert.deepEqual(messages[0]?.addresses?.addresses.map(addressFromBytes), ["192.168.0.1"]);
  const held = new HeldResources();
  for (const { epoch, nodeView, delta } of messages) {
    held.take(
      create(SyncResponseSchema, {
        ...(epoch && { welcome: { epoch } }),
        ...(nodeView && { nodeView }),
        ...(delta && { delta }),
      }),
    );
  }
  assert.equal(held.digest, agent.held.digest);

  const unknown = await client.state({ node: "n9" });
  assert.equal(unknown.end.status, "NOT_FOUND");
  assert.match(unknown.end.details, /"n9"/);
  const nobody = await client.state({});
  assert.deepEqual([nobody.end.status, nobody.messages[0]?.nodeView], ["OK", undefined]);
  await agent.close();
});

test("on SIGTERM agents are asked to leave, waits end, and it exits with 0", async () => {
  await using plane = await ControlPlane.start(files);
  using client = new FleetClient(plane.grpc);
  const agent = await agentOf(plane, "n1");
  const waiting = client.wait({ cursor: { revision: 99n } });
  await client.status();
  const stopped = plane.stop("SIGTERM");
  assert.equal((await waiting).end.status, "UNAVAILABLE");
  await agent.ended;
  assert.equal(agent.arrivals.at(-1)?.response.goaway?.reason, GoawayReason.DRAINING);
  assert.equal(await stopped, 0);
});

test("a refused manifest is said once and counted, and the rest is served", async () => {
  const bad = service.replace("name: web", "name: bad").replace("port: 80,", "port: 99999,");
  await using plane = await ControlPlane.start({ ...files, "bad.yaml": bad, "broken.yaml": "a: [\n" });
  await plane.logged(/info revision revision=1 /);
  await plane.write("slice.yaml", slice([]));
  await plane.logged(/info revision revision=2 /);
  assert.equal(plane.stderr.match(/refused: bad\.yaml: Service shop\/bad: spec\.ports\[0\]\.port/g)?.length, 1);
  assert.equal(plane.stderr.match(/refused: broken\.yaml:\d+: /g)?.length, 1);
  assert.match((await plane.get("/metrics")).body, /^weft_source_refused 2$/m);
});

test("HTTP waits are for the caller's own address and answer with counts", async () => {
  await using plane = await ControlPlane.start(files);
  const wait = async (query: string): Promise<readonly [number, Record<string, unknown>]> => {
    const { status: code, body } = await plane.get(`/v1/wait?${query}`);
    return [code, JSON.parse(body) as Record<string, unknown>];
  };
  assert.equal((await wait("drained=10.0.0.1:8080"))[0], 403);
  assert.equal((await wait("drained=nonsense"))[0], 400);
  assert.equal((await wait("timeout=1s"))[0], 400);
  const [timedOut, counts] = await wait("drained=127.0.0.1:9&timeout=50ms");
  assert.equal(timedOut, 504);
  assert.deepEqual([counts["outcome"], counts["have"], counts["need"], counts["missing"]], ["timeout", 0, 1, 1]);
  const agent = await agentOf(plane, "n1");
  const [done, answer] = await wait("drained=127.0.0.1:9&timeout=10s");
  assert.deepEqual([done, answer["outcome"]], [200, "done"]);
  assert.equal(JSON.stringify(answer).includes("n1"), false);
  await agent.close();
});

test("with TLS only certificates without a node may read the fleet, and a node is who its certificate says", async () => {
  const folder = await mkdtemp(join(tmpdir(), "weft-tls-"));
  const ca = makeAuthority(folder, "ca");
  const server = makeCertificate(folder, "server", ca, "IP:127.0.0.1");
  const security = ["--tls-cert", server.cert, "--tls-key", server.key, "--tls-client-ca", ca.cert];
  await using plane = await ControlPlane.start(files, security);
  const credentialsOf = (name: string, altNames: string): ChannelCredentials => {
    const { cert, key } = makeCertificate(folder, name, ca, altNames);
    return credentials.createSsl(readFileSync(ca.cert), readFileSync(key), readFileSync(cert));
  };
  const asNode = credentialsOf("n1", "URI:weft://node/n1");
  const asPerson = credentialsOf("person", "DNS:person.example");

  const agent = new ScriptedAgent({ address: plane.grpc, node: "n1", credentials: asNode }).hello();
  await agent.untilRevision(1);
  const impostor = new ScriptedAgent({ address: plane.grpc, node: "n2", credentials: asNode }).hello();
  assert.equal((await impostor.ended).code, status.PERMISSION_DENIED);

  using person = new FleetClient(plane.grpc, asPerson);
  assert.equal((await person.wait({ cursor: { revision: 1n } })).result?.outcome, WaitOutcome.DONE);
  using node = new FleetClient(plane.grpc, asNode);
  assert.equal((await person.call(FleetService.method.confirmRemoval, {})).end.status, "OK");
  for (const end of [
    (await node.call(FleetService.method.getStatus, {})).end,
    (await node.call(FleetService.method.confirmRemoval, {})).end,
    (await node.call(FleetService.method.watchStatus, {})).end,
    (await node.call(FleetService.method.watchRevisions, {})).end,
    (await node.wait({ drained })).end,
    (await node.state({ node: "n1" })).end,
  ]) {
    assert.equal(end.status, "PERMISSION_DENIED");
    assert.match(end.details, /node n1 may not read the fleet/);
  }
  await Promise.all([agent.close(), impostor.close()]);
  await rm(folder, { recursive: true });
});

const listen = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
const tmp = ["--manifests", "/tmp"];

const badStarts = [
  { name: "an unknown flag", args: [...tmp, ...listen, "--insecur"], code: 2, says: /did you mean --insecure\?/ },
  {
    name: "a folder that is missing",
    args: ["--manifests", "/nowhere", ...listen, "--insecure"],
    code: 1,
    says: /--manifests \/nowhere: .*; check the path/,
  },
  {
    name: "a file for a folder",
    args: ["--manifests", "/etc/passwd", ...listen, "--insecure"],
    code: 1,
    says: /is not a folder/,
  },
  {
    name: "a kubeconfig that is missing",
    args: ["--kubeconfig", "/nowhere", ...listen, "--insecure"],
    code: 1,
    says: /--kubeconfig \/nowhere: .*; check the path/,
  },
  {
    name: "no cluster around it",
    args: ["--in-cluster", ...listen, "--insecure"],
    code: 1,
    says: /--in-cluster: KUBERNETES_SERVICE_HOST .*; run in a pod/,
  },
  { name: "two sources", args: [...tmp, "--in-cluster", ...listen, "--insecure"], code: 2, says: /exclude each other/ },
  {
    name: "TLS files that are missing",
    args: [...tmp, ...listen, "--tls-cert", "/no.crt", "--tls-key", "/no.key", "--tls-client-ca", "/no.ca"],
    code: 1,
    says: /--tls-client-ca \/no\.ca: .*; check the path/,
  },
  {
    name: "an address of another machine",
    args: [...tmp, "--listen", "192.0.2.1:7000", "--http", "127.0.0.1:0", "--insecure"],
    code: 1,
    says: /192\.0\.2\.1:7000 for gRPC.*; choose an address of this machine/,
  },
] as const;

for (const { name, args, code, says } of badStarts) {
  test(`refuses to start with ${name}: one line, exit ${code}`, async () => {
    const ended = await runControlPlane(args);
    assert.match(ended.stderr, says);
    assert.deepEqual([ended.code, ended.stdout], [code, ""]);
    const said = ended.stderr.split("\n").filter((line) => line !== "" && !/^\d{4}-\d\d-\d\dT/.test(line));
    assert.equal(said.length, 1, ended.stderr);
  });
}

test("an API server that is away is waited for: not ready, said in one line, and healed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "weft-kube-"));
  const api = await ScriptedApi.start();
  const port = Number(new URL(api.address).port);
  await writeFile(
    join(folder, "config"),
    `clusters: [{name: c, cluster: {server: "${api.address}"}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n`,
  );
  api.stop();
  await using plane = await ControlPlane.startWith(["--kubeconfig", join(folder, "config"), "--insecure"], folder);
  await plane.logged(/cannot be reached: connection refused/);
  const unready = await plane.get("/readyz");
  assert.equal(unready.status, 503);
  assert.match(unready.body, /--kubeconfig .* is not synced[^]*cannot be reached: connection refused/);
  await api.restart(port);
  while ((await plane.get("/readyz")).status !== 200) await delay(20);
  assert.equal(plane.stderr.match(/cannot be reached/g)?.length, 1);
  api.stop();
});

test("refuses to start on a port that is in use, with the remedy", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const at = `127.0.0.1:${(other.address() as AddressInfo).port}`;
  for (const args of [
    ["--listen", at, "--http", "127.0.0.1:0"],
    ["--listen", "127.0.0.1:0", "--http", at],
  ]) {
    const ended = await runControlPlane([...tmp, ...args, "--insecure"]);
    assert.match(
      ended.stderr,
      /weft-controlplane: cannot listen on .*: the address is in use .*; stop what listens there/,
    );
    assert.deepEqual([ended.code, ended.stdout], [1, ""]);
  }
  other.close();
});

test("help has examples and goes to stdout", async () => {
  const { code, stdout, stderr } = await runControlPlane(["--help"]);
  assert.match(stdout, /Examples:\n {2}weft-controlplane --manifests/);
  assert.deepEqual([code, stderr], [0, ""]);
});
