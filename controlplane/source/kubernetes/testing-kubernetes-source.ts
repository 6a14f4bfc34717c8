/** For tests: a Kubernetes source that runs against a scripted API server, and what it has said. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { silentLog } from "@weft/proto/program/log.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import type { ChangeBatch, RecordChange, RecordKind, SourceRecord } from "../source.ts";
import type { Access } from "./access.ts";
import { KubernetesSource } from "./kubernetes-source.ts";
import type { ReflectorLimits } from "./reflector-state.ts";
import type { ScriptedApi } from "./scripted-api.ts";

/** Bounds a wait for something that must come; nothing is asserted about when. */
const waitMs = 20_000;

const impatient: Partial<ReflectorLimits> = { backoffFirstMs: 5, backoffMostMs: 50 };

export class SourceRun implements AsyncDisposable {
  /** Without relists that found no difference: there is one of each kind at each sync. */
  readonly batches: ChangeBatch[] = [];
  /** Kinds, once for each relist. */
  readonly compared: RecordKind[] = [];
  readonly refused: string[] = [];
  readonly cleared: string[] = [];
  readonly metrics = new Metrics();
  readonly source: KubernetesSource;
  /** What stands after all batches, by kind and name. */
  readonly records = new Map<string, SourceRecord>();
  timesSynced = 0;
  readonly #stop = new AbortController();
  #done: Promise<void> = Promise.resolve();

  constructor(access: Access, limits: Partial<ReflectorLimits> = {}, log: Log = silentLog) {
    this.source = new KubernetesSource({
      access,
      log,
      metrics: this.metrics,
      version: "1.2.3",
      limits: { ...impatient, ...limits },
      onRefusals: (added, cleared) => {
        this.refused.push(...added);
        this.cleared.push(...cleared);
      },
    });
  }

  static start(api: ScriptedApi, limits: Partial<ReflectorLimits> = {}): SourceRun {
    const run = new SourceRun(api.access, limits);
    run.start();
    return run;
  }

  /** Runs, is synced, and has its watches open; what was said until then is forgotten. */
  static async synced(api: ScriptedApi, limits: Partial<ReflectorLimits> = {}): Promise<SourceRun> {
    const run = SourceRun.start(api, limits);
    await run.until(() => run.timesSynced > 0);
    await run.until(() => api.watches("Service") + api.watches("EndpointSlice") + api.watches("Node") === 3);
    run.batches.length = 0;
    run.compared.length = 0;
    api.asked.length = 0;
    return run;
  }

  start(): void {
    const sink = {
      synced: (): void => void this.timesSynced++,
      changes: (batch: ChangeBatch): void => {
        if (batch.isRelist) this.compared.push(...(batch.kinds ?? []));
        if (batch.changes.length > 0) this.batches.push(batch);
        for (const change of batch.changes) {
          if (change.op === "put") this.records.set(`${change.record.kind} ${change.record.name}`, change.record);
          else this.records.delete(`${change.kind} ${change.name}`);
        }
      },
    };
    this.#done = this.source.run(sink, this.#stop.signal);
  }

  get changes(): readonly string[] {
    return this.batches.flatMap(({ changes }) => changes.map(describeChange));
  }

  /** The value of a series as it is printed: `name{labels}`; 0 if there is none. */
  metric(series: string): number {
    const line = this.metrics
      .print()
      .split("\n")
      .find((text) => text.startsWith(`${series} `));
    return Number(line?.slice(series.length + 1) ?? 0);
  }

  /** Does something to the watch of a kind, and waits for the next one. */
  async rewatched(api: ScriptedApi, kind: RecordKind, act: () => void): Promise<void> {
    const before = api.asked.length;
    act();
    await this.until(() => api.asked.slice(before).some((asked) => asked.kind === kind) && api.watches(kind) === 1);
  }

  async until(isTrue: () => boolean): Promise<void> {
    for (const end = performance.now() + waitMs; !isTrue(); await delay(2)) {
      assert.ok(performance.now() < end, `still waiting: ${isTrue.toString()}; said: ${this.changes.join(", ")}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

function describeChange(change: RecordChange): string {
  if (change.op === "remove") return `remove ${change.name}`;
  const { record } = change;
  if (record.kind === "Service") return `put ${record.name} ${record.ports[0]?.port}`;
  return `put ${record.name}`;
}
