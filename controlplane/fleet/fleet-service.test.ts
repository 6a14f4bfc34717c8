import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { epoch } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { FailureCategory, NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FleetService, WaitOutcome } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { FleetStatus } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { addressBytes } from "@weft/proto/address.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { runFleet } from "./fleet-loop.ts";
import { addFleetService } from "./fleet-service.ts";
import type { RemovalConfirmer } from "./fleet-service.ts";
import { Fleet } from "./fleet.ts";
import { revisionsPastMax } from "./revision-feed.ts";
import { FleetClient } from "./testing-fleet-client.ts";
import { ackOf, address, backendResource, Commits, serviceResource, stepsAt } from "./testing-resources.ts";
import type { AckSpec } from "./testing-resources.ts";

const nowUs = (): number => Date.now() * 1_000;
const web = serviceResource({ service: "a/web" });
const one = { of: "a/web", address: "10.0.0.1" };
const drained = [{ address: addressBytes(address("10.0.0.1")), port: 80 }];

class Running implements AsyncDisposable {
  readonly fleet = new Fleet(Date.now());
  readonly commits = new Commits();
  confirmed: ReturnType<RemovalConfirmer["confirmRemoval"]> = { removal: undefined, nodes: [] };
  readonly #stop = new AbortController();
  readonly #server = new Server();
  readonly #loop = runFleet(this.fleet, this.#stop.signal);
  #address = "";

  static async start(known: readonly string[] | undefined): Promise<Running> {
    const running = new Running();
    running.fleet.epochStarted(epoch(1, 1));
    running.fleet.nodesKnown(known === undefined ? undefined : new Set(known));
    addFleetService(running.#server, {
      fleet: running.fleet,
      state: {
        nodeView: () => create(NodeViewSchema, { zone: "z1" }),
        nodeObjectAddresses: () => undefined,
        snapshot: () => ({ to: running.fleet.head, parts: [] }),
      },
      removals: { confirmRemoval: () => running.confirmed },
      identify: () => ({ kind: "anonymous" }),
      log: silentLog,
      signal: running.#stop.signal,
    });
    running.#address = await new Promise<string>((resolve, reject) => {
      running.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(`127.0.0.1:${port}`);
        else reject(error);
      });
    });
    return running;
  }

  client(): FleetClient {
    return new FleetClient(this.#address);
  }

  commit(...of: Parameters<Commits["commit"]>): void {
    this.fleet.committed(this.commits.commit(...of), 100, nowUs(), stepsAt(nowUs()));
    this.fleet.synced();
  }

  connect(node: string): void {
    const connection = { node, instance: 1n, peer: "10.9.9.9:1", versions: undefined, applied: 0 as Revision };
    const reported = {
      addresses: [address("192.168.0.7")],
      nodePortAddresses: [],
      localAddresses: [address("172.30.0.10")],
      servesLocalClusterIps: true,
    };
    this.fleet.connected({ ...connection, ...reported }, nowUs());
  }

  ack(node: string, spec: AckSpec): void {
    this.fleet.acked(node, ackOf(spec), undefined, nowUs());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#server.forceShutdown();
    await this.#loop;
  }
}

test("watchers of the status see it at once, then its newest, without what lies between", async () => {
  await using running = await Running.start(["n1"]);
  using client = running.client();
  const seen: FleetStatus[] = [];
  await client.call(FleetService.method.watchStatus, {}, ({ status }) => {
    assert.ok(status !== undefined);
    seen.push(status);
    if (seen.length === 1) {
      running.connect("n1");
      for (let i = 1; i <= 50; i++) {
        running.commit([web]);
        running.ack("n1", { revision: i });
      }
    }
    return status.revision < 50n;
  });
  assert.deepEqual(
    seen.map(({ revision, nodes }) => [revision, nodes[0]?.node, nodes[0]?.applied]),
    [
      [0n, "n1", 0n],
      [50n, "n1", 50n],
    ],
  );
});

test("what is held back is in the status, and what was confirmed is answered", async () => {
  await using running = await Running.start(["n1", "n2"]);
  using client = running.client();
  running.connect("n1");
  const removal = { services: 12, ofServices: 14, sinceMs: 1_000.5, untilMs: 2_000, names: ["a/web"] };
  running.fleet.removalHeld(removal);
  running.fleet.held("n1", "it holds 12 services");
  const held = await client.status();
  const { services, ofServices, sinceMs, serviceNames } = held.heldRemoval ?? assert.fail();
  assert.deepEqual([services, ofServices, sinceMs, serviceNames], [12, 14, 1_000n, ["a/web"]]);
  const [n1] = held.nodes;
  const failure = n1?.failures[0];
  assert.deepEqual([n1?.failuresTotal, failure?.category], [1, FailureCategory.MASS_REMOVAL_HELD]);
  const { result } = await client.wait({ cursor: { revision: 1n }, timeoutMs: 20 });
  assert.equal(result?.missing[0]?.reason, "failed: mass_removal_held: it holds 12 services");

  running.confirmed = { removal, nodes: ["n2", "n1"] };
  const { messages } = await client.call(FleetService.method.confirmRemoval, {});
  assert.deepEqual([messages[0]?.removal?.services, messages[0]?.nodes, messages[0]?.nodeNames], [12, 2, ["n1", "n2"]]);
  running.fleet.removalHeld(undefined);
  running.fleet.held("n1", undefined);
  const after = await client.status();
  assert.deepEqual([after.heldRemoval, after.nodes[0]?.failuresTotal], [undefined, 0]);
});

test("watchers of revisions get commits, acks and convergence, the past first and bounded", async () => {
  await using running = await Running.start(["n1"]);
  using client = running.client();
  running.connect("n1");
  for (let i = 1; i <= revisionsPastMax + 3; i++) running.commit([web, backendResource(one)]);
  const kinds: string[] = [];
  await client.call(FleetService.method.watchRevisions, { past: revisionsPastMax }, ({ event }) => {
    kinds.push(event.case === "convergence" ? `${event.case} ${event.value.percent}` : `${event.case}`);
    if (kinds.length === revisionsPastMax) running.ack("n1", { revision: revisionsPastMax + 3, failed: ["a/web"] });
    if (event.case === "commit")
      assert.deepEqual([event.value.services, event.value.puts, event.value.bytes], [["a/web"], 2, 100n]);
    if (event.case === "ack") assert.deepEqual([event.value.node, event.value.failuresTotal], ["n1", 1]);
    return kinds.length < revisionsPastMax + 5;
  });
  assert.deepEqual(
    kinds.slice(0, revisionsPastMax),
    Array.from({ length: revisionsPastMax }, () => "commit"),
  );
  assert.deepEqual(kinds.slice(revisionsPastMax), [
    "ack",
    "convergence 50",
    "convergence 90",
    "convergence 99",
    "convergence 100",
  ]);
  const { end } = await client.call(FleetService.method.watchRevisions, { past: revisionsPastMax + 1 });
  assert.deepEqual([end.status, end.details], ["INVALID_ARGUMENT", "past: at most 64, not 65"]);
});

test("a failure that is no notice holds a wait for what its service changed, and is named", async () => {
  await using running = await Running.start(["n1", "n2"]);
  using client = running.client();
  running.commit([web, serviceResource({ service: "b/other" }), backendResource({ ...one, state: "not-ready" })]);
  for (const node of ["n1", "n2"]) running.connect(node);
  running.ack("n1", { revision: 1, notices: ["a/web"] });
  running.ack("n2", { revision: 1, failed: ["a/web"] });
  for (const request of [{ cursor: { revision: 1n } }, { drained }]) {
    const { result } = await client.wait({ ...request, timeoutMs: 50 });
    assert.deepEqual([result?.outcome, result?.have, result?.need], [WaitOutcome.TIMEOUT, 1, 2]);
    assert.deepEqual(
      result?.missing.map(({ node, reason }) => `${node}: ${reason}`),
      ["n2: failed a/web: capacity: the map is full"],
    );
  }
  // The other service does not hold the backend.
  running.ack("n2", { revision: 1, failed: ["b/other"] });
  assert.equal((await client.wait({ drained })).result?.outcome, WaitOutcome.DONE);
  running.ack("n2", { revision: 1, unlisted: 2 });
  const { result } = await client.wait({ drained, timeoutMs: 50 });
  assert.equal(result?.missing[0]?.reason, "failed: 2 more failures than it listed");
});

test("without Node objects nothing completes at first, and a note says so", async () => {
  await using running = await Running.start(undefined);
  using client = running.client();
  running.commit([web]);
  running.connect("n1");
  running.ack("n1", { revision: 1 });
  const notes: string[] = [];
  const { result } = await client.wait({ cursor: { revision: 1n }, timeoutMs: 50 }, (note) => notes.push(note));
  assert.deepEqual([result?.outcome, result?.have, result?.need, result?.missing], [WaitOutcome.TIMEOUT, 1, 1, []]);
  assert.deepEqual(notes, ["the source has no Node objects, so nothing completes in the first 30 s after start"]);
});

test("a wait for a revision of another epoch, and one whose epoch ends, say so", async () => {
  await using running = await Running.start(["n1"]);
  using client = running.client();
  running.commit([web]);
  const other = await client.wait({ cursor: { epoch: { createdMs: 9n, random: 9 }, revision: 1n } });
  assert.equal(other.result?.outcome, WaitOutcome.EPOCH_ENDED);
  assert.match(other.result?.notes[0] ?? "", /^epoch 9-00000009 is not, or no longer, the current one, 1-00000001$/);
  const waiting = client.wait({ cursor: { revision: 2n } });
  while (running.fleet.waitsOpen === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  running.fleet.epochStarted(epoch(2, 2));
  assert.equal((await waiting).result?.outcome, WaitOutcome.EPOCH_ENDED);
});

test("a caller that goes away leaves no wait behind", async () => {
  await using running = await Running.start(["n1"]);
  running.commit([web, backendResource({ ...one, state: "terminating" })]);
  using client = running.client();
  // It cancels at the first note.
  const { end } = await client.call(FleetService.method.wait, { drained }, () => false);
  assert.equal(end.status, "CANCELLED");
  while (running.fleet.waitsOpen > 0) await new Promise((resolve) => setTimeout(resolve, 1));
});

test("a state is not given before the source is synced, nor for an unknown node", async () => {
  await using running = await Running.start(["n1"]);
  using client = running.client();
  assert.equal((await client.state({})).end.status, "UNAVAILABLE");
  running.commit([web]);
  assert.equal((await client.state({ node: "n9" })).end.status, "NOT_FOUND");
  // A Node object without addresses, then what its agent reported.
  assert.deepEqual((await client.state({ node: "n1" })).messages[0]?.addresses?.addresses, []);
  running.connect("n8");
  const { messages } = await client.state({ node: "n8" });
  assert.deepEqual(
    messages[0]?.addresses?.addresses.map((bytes) => [...bytes]),
    [[192, 168, 0, 7]],
  );
  assert.deepEqual(
    messages[0]?.addresses?.localAddresses.map((bytes) => [...bytes]),
    [[172, 30, 0, 10]],
  );
  assert.equal(messages[0]?.addresses?.servesLocalClusterIps, true);
});
