/** Every worker has a listener of its own: what its TLS knows and what it limits is the same for all, and counted for each. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import { credentials, status } from "@grpc/grpc-js";
import type { ChannelCredentials } from "@grpc/grpc-js";
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import type { CertificateFiles } from "@weft/proto/program/testing-certificates.ts";
import type { ScriptedAgent } from "../fanout/scripted-agent.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import type { RunningOptions } from "../running-pipeline.ts";
import { service } from "../scripted-source.ts";
import { TestingWorkers } from "./testing-workers.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-workers-tls-"));
after(() => rmSync(folder, { recursive: true }));
const [before, next] = ["before", "next"].map((name) => makeAuthority(folder, name)) as [
  CertificateFiles,
  CertificateFiles,
];
const servers = {
  before: makeCertificate(folder, "server-before", before, "IP:127.0.0.1"),
  next: makeCertificate(folder, "server-next", next, "IP:127.0.0.1"),
};
/** Where the program finds them. */
const live = {
  certFile: join(folder, "live.pem"),
  keyFile: join(folder, "live.key"),
  clientCaFile: join(folder, "ca"),
};
const security = { kind: "tls", ...live } as const;

/** Puts these in place, each whole. */
function install(server: CertificateFiles, authority: CertificateFiles): void {
  for (const [from, to] of [
    [server.cert, live.certFile],
    [server.key, live.keyFile],
    [authority.cert, live.clientCaFile],
  ] as const) {
    copyFileSync(from, `${to}.new`);
    renameSync(`${to}.new`, to);
  }
}

/** What an agent of this authority has, who trusts servers of that one. */
function credentialsOf(node: string, of: CertificateFiles, trusted: CertificateFiles): ChannelCredentials {
  const { cert, key } = makeCertificate(folder, node, of, `URI:weft://node/${node}`);
  return credentials.createSsl(readFileSync(trusted.cert), readFileSync(key), readFileSync(cert));
}

async function started(workers: TestingWorkers, listener: RunningOptions["listener"] = {}): Promise<RunningPipeline> {
  const running = await RunningPipeline.start({
    workers: 2,
    spawn: workers.spawn,
    security,
    pollMs: 50,
    listener,
  });
  running.source.give(service("a/b"));
  running.source.synced();
  return running;
}

/** How many workers have said it. */
function saidBy({ logged }: RunningPipeline, text: string): number {
  return new Set(logged.filter((line) => line.includes(text)).map((line) => / worker=\d/.exec(line)?.[0])).size;
}

test("new certificates reach every worker: the old client CA is refused by each, and open streams stay", async () => {
  install(servers.before, before);
  const workers = new TestingWorkers();
  await using running = await started(workers);
  const old = credentialsOf("old", before, before);
  const agent = running.agent("old", { credentials: old }).hello();
  await agent.untilRevision(1);
  install(servers.next, next);
  await running.until(() => saidBy(running, "certificates reloaded") === 2, "both workers to reload");

  // Each of them is new to both sides; the kernel takes any worker for it.
  const own = credentialsOf("new", next, next);
  const served = new Set<number | undefined>();
  const agents: ScriptedAgent[] = [];
  for (let i = 0; served.size < 2; i++) {
    const newcomer = running.agent("new", { credentials: own }).hello();
    agents.push(newcomer);
    await newcomer.untilRevision(1);
    await running.until(() => running.fleet.nodes.get("new")?.left === undefined, "the fleet to see it");
    served.add(workers.workerOf("new"));
  }
  const untrusted = 'weft_fanout_connections_refused_total{reason="untrusted-client-certificate"}';
  // It trusts the new server, and the server not it. A line of each worker, however many it refuses.
  const stale = credentialsOf("stale", before, next);
  while (saidBy(running, "untrusted-client-certificate") < 2) {
    const { code } = await running.agent("stale", { credentials: stale }).hello().ended;
    assert.equal(code, status.UNAVAILABLE);
    await running.until(() => running.metric(untrusted) > 0, "a refusal to be counted");
  }
  assert.deepEqual([...running.fleet.nodes.keys()].toSorted(), ["new", "old"]);
  assert.equal(running.fleet.nodes.get("old")?.left, undefined);
  running.source.give(service("a/c"));
  await Promise.all([agent, ...agents.slice(-1)].map((each) => each.untilRevision(2)));
});

test("connections of one certificate are limited by each worker", async () => {
  install(servers.before, before);
  const perWorker = 3;
  await using running = await started(new TestingWorkers(), { connectionsPerCertificateMax: perWorker });
  const [host = "", port = ""] = running.address.split(":");
  const at = { host, port: Number(port) };
  const { cert, key } = makeCertificate(folder, "greedy", before, "URI:weft://node/greedy");
  const files = { ca: readFileSync(before.cert), cert: readFileSync(cert), key: readFileSync(key) };
  const sockets: TLSSocket[] = [];
  const limited = 'weft_fanout_connections_refused_total{reason="connections-limit"}';
  const tries = 40;
  let closed = 0;
  for (let i = 0; i < tries; i++) {
    const socket = connect({ ...at, ...files, ALPNProtocols: ["h2"] });
    socket.on("error", () => undefined);
    socket.on("close", () => closed++);
    sockets.push(socket);
  }
  await running.until(() => running.metric(limited) === tries - 2 * perWorker, "all but some of each worker");
  await running.until(() => closed === tries - 2 * perWorker, "the refused ones to be closed");
  for (const socket of sockets) socket.destroy();
});

test("connections that say nothing are cut by each worker, and agents are served meanwhile", async () => {
  await using running = await RunningPipeline.start({ workers: 2, listener: { handshakeMs: 300 } });
  running.source.give(service("a/b"));
  running.source.synced();
  const [host = "", port = ""] = running.address.split(":");
  const silent = Array.from({ length: 20 }, () => connectPlain({ host, port: Number(port) }).resume());
  await running.agent("n1").hello().untilRevision(1);
  await Promise.all(silent.map((socket) => once(socket, "close")));
  const sample = 'weft_fanout_connections_refused_total{reason="silent"}';
  await running.until(() => running.metric(sample) === silent.length, "all to be counted");
  assert.equal(saidBy(running, "reason=silent"), 2);
});
