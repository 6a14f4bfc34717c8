import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import type { HttpResponse } from "@weft/proto/program/http.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import type { Waiting } from "../health/kube-proxy-metrics.ts";
import { healthTimeoutMs } from "../health/proxy-health.ts";
import { describedBackend, describedService } from "../plan/described-cluster.ts";
import { planInput } from "../plan/plan-input.ts";
import { encodedService } from "../sync/described-resources.ts";
import { readPart } from "../sync/received-resource.ts";
import { StateFile } from "../sync/state-file.ts";
import { MemoryDataplane } from "../dataplane/memory/memory-dataplane.ts";
import { Store } from "../sync/store.ts";
import { AgentMetrics } from "./agent-metrics.ts";
import { NodeHealth } from "./node-health.ts";
import { Rounds } from "./rounds.ts";
import type { RoundsOptions } from "./rounds-options.ts";
import { SteeredDataplane } from "./test-agents.ts";

const nothing: Waiting = { sinceMs: undefined, serviceChanges: 0, backendChanges: 0 };

describe("the health of a node", () => {
  it("is bad while something waits for too long: /healthz, /livez and every health check say so", async () => {
    await using free = createServer().listen(0);
    const port = (free.address() as AddressInfo).port;
    await free[Symbol.asyncDispose]();
    let waiting = nothing;
    const health = new NodeHealth({
      node: "n1",
      store: planInput(
        [
          describedService({
            name: "ns/web",
            clusterIps: ["10.96.0.1"],
            ports: [{ port: 80 }],
            externalLocal: true,
            healthCheckNodePort: port,
          }),
        ],
        [describedBackend({ service: "ns/web", address: "10.1.0.1", node: "n1", ports: [{ number: 8080 }] })],
      ),
      readings: { waiting: () => waiting, queuedAtMs: () => undefined },
      log: silentLog,
      metrics: new Metrics(),
      onChange: () => undefined,
    });
    const stop = new AbortController();
    const ended = health.run(stop.signal);
    health.adopted();
    const statuses = async (): Promise<readonly number[]> => {
      const check = await fetch(`http://127.0.0.1:${port}/`).then(
        ({ status }) => status,
        () => 0,
      );
      const request = {
        path: "",
        query: new URLSearchParams(),
        peerAddress: "",
        localAddress: "",
        accept: undefined,
        signal: stop.signal,
      };
      const pages = ["/healthz", "/livez"].map((page) => health.routes()[page]?.(request) as HttpResponse | undefined);
      return [check, ...pages.map((page) => page?.status ?? 0)];
    };
    for (let i = 0; i < 400 && (await statuses())[0] === 0; i++) await sleep(5);
    assert.deepEqual(await statuses(), [200, 200, 200]);
    waiting = { ...nothing, sinceMs: performance.now() - healthTimeoutMs + 10_000 };
    assert.deepEqual(await statuses(), [200, 200, 200]);
    waiting = { ...nothing, sinceMs: performance.now() - healthTimeoutMs };
    assert.deepEqual(await statuses(), [503, 503, 503]);
    waiting = nothing;
    assert.deepEqual(await statuses(), [200, 200, 200]);
    stop.abort();
    await ended;
    assert.deepEqual(await statuses(), [0, 200, 200]);
  });
});

function roundsOf(
  of: Pick<RoundsOptions, "store" | "dataplane" | "file"> & Partial<Pick<RoundsOptions, "compact">>,
): Rounds {
  return new Rounds({
    node: "n1",
    log: silentLog,
    metrics: new AgentMetrics(new Metrics()),
    addressing: { addresses: [], nodePortAddresses: [], localAddresses: new Set(), localClusterIps: "pass" },
    view: undefined,
    onRound: () => undefined,
    onTraced: undefined,
    compact: () => Promise.resolve(),
    onChange: () => undefined,
    ...of,
  });
}

describe("what waits for a round", () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-rounds-"));
  const cursor = (at: number): Cursor => ({ epoch: epoch(1_763_881_972_000, 7), revision: revision(at) });
  const put = (store: Store, name: string): ReturnType<Store["commit"]> => {
    const { bytes } = encodedService({ name, clusterIps: ["10.96.0.1"] });
    const reading = readPart({ removed: [], resources: [bytes] });
    assert.ok(reading.kind === "part");
    return store.commit([reading.part], "nothing");
  };

  it("waits since the oldest of it came, until it is live; what is held back on purpose does not wait", async () => {
    const store = new Store();
    const dataplane = new SteeredDataplane();
    using file = StateFile.open({ folder, log: silentLog }).file;
    const rounds = roundsOf({ store, dataplane, file });
    const stop = new AbortController();
    assert.deepEqual(rounds.waiting, nothing);
    rounds.committed(put(store, "ns/a"), cursor(1), undefined);
    assert.deepEqual(rounds.waiting, { ...nothing, serviceChanges: 1 }, "the kernel is ahead: held back");
    const heldMs = performance.now();
    rounds.open();
    assert.ok((rounds.waiting.sinceMs ?? 0) >= heldMs);
    const release = dataplane.holdNext();
    const ended = rounds.run(stop.signal);
    await dataplane.held;
    const { sinceMs } = rounds.waiting;
    assert.ok(sinceMs !== undefined && sinceMs >= heldMs);
    rounds.committed(put(store, "ns/b"), cursor(2), undefined);
    assert.deepEqual(rounds.waiting, { sinceMs, serviceChanges: 2, backendChanges: 0 }, "the oldest counts");
    const second = dataplane.holdNext();
    const { held } = dataplane;
    release();
    await held;
    const next = rounds.waiting;
    assert.ok(next.sinceMs !== undefined && next.sinceMs > sinceMs && next.serviceChanges === 1);
    second();
    await rounds.settled();
    assert.deepEqual(rounds.waiting, nothing);

    // A round that fails waits on, since when it came.
    dataplane.failNext();
    rounds.committed(put(store, "ns/c"), cursor(3), undefined);
    const failing = rounds.waiting.sinceMs;
    await rounds.settled();
    assert.equal(rounds.waiting.sinceMs, failing);
    assert.ok(rounds.activationFailure !== undefined);
    for (let i = 0; i < 400 && rounds.waiting.sinceMs !== undefined; i++) await sleep(5);
    assert.deepEqual(rounds.waiting, nothing);
    stop.abort();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });

  it("gives memory back once, when the state on disk is written anew", async () => {
    const store = new Store();
    const compacted = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const seen: string[] = [];
    const rounds = roundsOf({
      store,
      dataplane: new MemoryDataplane(),
      file: {
        append: () => undefined,
        rewrite: async () => {
          seen.push("rewrite");
          begun.resolve();
          await written.promise;
          seen.push("written");
        },
        get wantsSnapshot() {
          return seen.length === 0;
        },
      },
      compact: () => {
        seen.push("compact");
        compacted.resolve();
        return Promise.resolve();
      },
    });
    const stop = new AbortController();
    rounds.committed(put(store, "ns/a"), cursor(1), undefined);
    rounds.open();
    const ended = rounds.run(stop.signal);
    await begun.promise;
    // Rounds go on meanwhile.
    rounds.committed(put(store, "ns/b"), cursor(2), undefined);
    await rounds.settled();
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    written.resolve();
    await compacted.promise;
    rounds.committed(put(store, "ns/c"), cursor(3), undefined);
    await rounds.settled();
    stop.abort();
    await ended;
    assert.deepEqual(seen, ["rewrite", "written", "compact"]);
  });
});
