/** Fleet calls at any worker: they tell of agents that the other one serves, and end with the worker they came to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FleetService, WaitOutcome } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import type { AgentPort } from "../agent-port.ts";
import { HeldResources } from "../fanout/held-resources.ts";
import { ScriptedAgent } from "../fanout/scripted-agent.ts";
import { runFleet } from "../fleet/fleet-loop.ts";
import { Fleet } from "../fleet/fleet.ts";
import { FleetClient } from "../fleet/testing-fleet-client.ts";
import { MemoryLog } from "../log/memory-log.ts";
import { ScriptedSource, endpoints, node as nodeObject, service } from "../scripted-source.ts";
import { openWorkers } from "./open-workers.ts";
import { TestingWorkers } from "./testing-workers.ts";

/** As `main.ts` runs it with `--workers 2`, with a scripted source. */
class Running implements AsyncDisposable {
  readonly source = new ScriptedSource();
  readonly workers = new TestingWorkers();
  readonly agents: ScriptedAgent[] = [];
  readonly metrics = new Metrics();
  readonly #stop = new AbortController();
  readonly #fleet = new Fleet(Date.now());
  readonly #clients: FleetClient[] = [];
  #port: AgentPort | undefined;
  #ends: Promise<unknown> = Promise.resolve();

  static async start(): Promise<Running> {
    const running = new Running();
    await running.#start();
    return running;
  }

  async #start(): Promise<void> {
    const { source, workers, metrics } = this;
    const [fleet, log, { signal }] = [this.#fleet, silentLog, this.#stop];
    const history = new MemoryLog(Date.now(), 7);
    const port = await openWorkers({
      pipeline: { source, history, fleet, log, metrics, version: "1.2.3" },
      workers: 2,
      logLevel: "error",
      fleet,
      listen: { host: "127.0.0.1", port: 0 },
      security: { kind: "insecure" },
      log,
      signal,
      spawn: workers.spawn,
    });
    this.#port = port;
    this.#ends = Promise.all([port.pipeline.run(signal), runFleet(fleet, signal)]);
    await source.started();
    source.give(service("a/b"), endpoints("a/b", ["10.1.0.1"]));
    source.synced();
  }

  get root(): bigint | undefined {
    return this.#port?.pipeline.catalog.root;
  }

  /** It runs the first revision, and the main thread knows its worker. */
  async agent(node: string): Promise<ScriptedAgent> {
    this.source.give(nodeObject(node));
    const agent = new ScriptedAgent({ address: this.#port?.address ?? "", node }).hello();
    this.agents.push(agent);
    await agent.untilRevision(1);
    while (this.workers.workerOf(node) === undefined) await sleep(1);
    return agent;
  }

  /** One whose connection this worker serves. */
  async clientAt(worker: number): Promise<FleetClient> {
    for (;;) {
      const client = new FleetClient(this.#port?.address ?? "");
      this.#clients.push(client);
      await client.status();
      if (this.workers.calls.at(-1) === worker) return client;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.agents.map((agent) => agent.close()));
    for (const client of this.#clients) client[Symbol.dispose]();
    this.#stop.abort();
    await this.#ends;
    await this.#port?.[Symbol.asyncDispose]();
  }
}

/** Two agents of each worker, at least. */
async function agentsOfBoth(running: Running): Promise<Readonly<Record<1 | 2, readonly ScriptedAgent[]>>> {
  const of = (worker: number): readonly ScriptedAgent[] =>
    running.agents.filter(({ node }) => running.workers.workerOf(node) === worker);
  while (of(1).length < 2 || of(2).length < 2) await running.agent(`n${running.agents.length}`);
  return { 1: of(1), 2: of(2) };
}

const at = { revision: 2n };

test("status, waits, traces and states are those of all workers, whichever is asked", async () => {
  await using running = await Running.start();
  const agents = await agentsOfBoth(running);
  const names = running.agents.map(({ node }) => node).toSorted();
  const clients = { 1: await running.clientAt(1), 2: await running.clientAt(2) };
  const waits = [clients[1], clients[2]].map((client) => client.wait({ cursor: at }));
  running.source.give(endpoints("a/b", ["10.1.0.1", "10.1.0.2"]));
  for (const wait of waits) {
    const { result } = await wait;
    assert.equal(result?.outcome, WaitOutcome.DONE);
    assert.deepEqual([result?.have, result?.need], [names.length, names.length]);
  }
  for (const worker of [1, 2] as const) {
    const client = clients[worker];
    const { nodes, revision: head } = await client.status();
    assert.equal(head, 2n);
    assert.deepEqual(
      nodes.map(({ node, connected, applied }) => [node, connected, applied]),
      names.map((node) => [node, true, 2n]),
    );
    const other = agents[worker === 1 ? 2 : 1][0]?.node ?? "";
    const traced = await client.call(FleetService.method.getTrace, { cursor: at, slowest: 1, nodes: [other] });
    const [trace] = traced.messages;
    assert.deepEqual([trace?.connected, trace?.acked, trace?.commit?.revision], [names.length, names.length, 2n]);
    assert.ok(trace?.nodes.some(({ node, revision }) => node === other && revision === 2n));

    const state = await client.state({ node: other });
    assert.equal(state.end.status, "OK");
    const held = new HeldResources();
    for (const { epoch, nodeView, delta } of state.messages) {
      const welcome = epoch && { welcome: { epoch } };
      held.take(create(SyncResponseSchema, { ...welcome, ...(nodeView && { nodeView }), ...(delta && { delta }) }));
    }
    assert.equal(held.digest, running.root);
  }
});

test("metrics tell how busy and how late each worker is", async () => {
  await using running = await Running.start();
  await agentsOfBoth(running);
  const of = (sample: RegExp): number => Number(sample.exec(running.metrics.print())?.[1] ?? 0);
  for (const sample of [
    /^weft_fanout_worker_busy_seconds_total\{worker="1"\} (\S+)$/m,
    /^weft_fanout_worker_busy_seconds_total\{worker="2"\} (\S+)$/m,
    /^weft_fanout_worker_event_loop_delay_seconds_count (\S+)$/m,
  ]) {
    while (of(sample) === 0) await sleep(1);
  }
  assert.match(running.metrics.print(), /^weft_fanout_workers 2$/m);
  running.workers.fail(2);
  while (of(/^weft_fanout_worker_restarts_total (\S+)$/m) === 0) await sleep(1);
});

test("a call ends with its worker, and is made again at the other one", async () => {
  await using running = await Running.start();
  const agents = await agentsOfBoth(running);
  const clients = { 1: await running.clientAt(1), 2: await running.clientAt(2) };
  const notes: string[] = [];
  const ended = clients[1].wait({ cursor: at }, (note) => notes.push(note));
  const waiting = clients[2].wait({ cursor: at });
  const watching = clients[1].call(FleetService.method.watchStatus, {}, () => {
    // Both calls have come to it.
    running.workers.fail(1);
    return true;
  });
  assert.deepEqual([(await ended).result, (await ended).end.status], [undefined, "UNAVAILABLE"]);
  assert.equal((await watching).end.status, "UNAVAILABLE");
  await Promise.all(agents[1].map(({ ended: gone }) => gone));
  const lost = agents[1].map(({ node }) => node);
  while ((await clients[2].status()).nodes.some(({ node, connected }) => connected && lost.includes(node)))
    await sleep(1);
  for (const node of lost) await running.agent(node);
  const again = running.clientAt(1).then((client) => client.wait({ cursor: at }));
  running.source.give(endpoints("a/b", ["10.1.0.1", "10.1.0.2"]));
  for (const wait of [waiting, again]) assert.equal((await wait).result?.outcome, WaitOutcome.DONE);
});
