/** A cluster as a source: one reflector per kind, one HTTP client, one watch per kind. */
import type { Log } from "@weft/proto/program/log.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import type { RecordChange, RecordKind, Source, SourceSink } from "../source.ts";
import type { Access } from "./access.ts";
import { ApiClient } from "./api-client.ts";
import { ChangeBatches } from "./change-batches.ts";
import { FailureLog } from "./failure-log.ts";
import { jsonCodec } from "./json-codec.ts";
import { kubernetesMetrics } from "./kubernetes-metrics.ts";
import type { KubernetesMetrics } from "./kubernetes-metrics.ts";
import { reflectorLimits } from "./reflector-state.ts";
import type { ReflectorLimits } from "./reflector-state.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorSink } from "./reflector.ts";
import { watchedKinds } from "./watched-kind.ts";
import type { WatchedKind } from "./watched-kind.ts";

export interface KubernetesSourceOptions {
  readonly access: Access;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Of this program, for the User-Agent. */
  readonly version: string;
  /** Each refusal once when it appears and once when it is gone, as "Service ns1/bad: spec.ports[0].port: …". */
  readonly onRefusals: (added: readonly string[], cleared: readonly string[]) => void;
  /** Over `reflectorLimits`. */
  readonly limits?: Partial<ReflectorLimits>;
}

export class KubernetesSource implements Source {
  /** Nodes are always among the kinds. */
  readonly hasNodes = true;
  readonly #options: KubernetesSourceOptions;
  readonly #metrics: KubernetesMetrics;
  #reflectors: readonly (readonly [WatchedKind, Reflector])[] = [];

  constructor(options: KubernetesSourceOptions) {
    this.#options = options;
    this.#metrics = kubernetesMetrics(options.metrics, () =>
      this.#reflectors.map(([{ kind }, { size, heardMsAgo }]) => ({ kind, size, heardMsAgo })),
    );
  }

  /** What is not synced and, where that is known, why; each on one line. */
  missing(): readonly string[] {
    const { server } = this.#options.access;
    return this.#reflectors
      .filter(([, reflector]) => !reflector.isSynced)
      .map(([{ resource }, { trouble }]) => trouble ?? `${resource} of ${server} are being read`);
  }

  async run(sink: SourceSink, signal: AbortSignal): Promise<void> {
    const { access, log, version, onRefusals, limits } = this.#options;
    const client = new ApiClient(access, `weft-controlplane/${version}`);
    const batches = new ChangeBatches(sink);
    const failureLog = new FailureLog();
    let isSynced = false;
    const compared = (kind: RecordKind, changes: readonly RecordChange[], noticedAtMs: number): void => {
      batches.relisted(kind, changes, noticedAtMs);
      if (isSynced || this.#reflectors.some(([, reflector]) => !reflector.isSynced)) return;
      isSynced = true;
      sink.synced();
    };
    const sinkOf = (kind: RecordKind): ReflectorSink => ({
      changed: (changes, noticedAtMs) => batches.add(changes, noticedAtMs),
      compared: (changes, noticedAtMs) => compared(kind, changes, noticedAtMs),
      refused: onRefusals,
    });
    this.#reflectors = watchedKinds.map((kind) => [
      kind,
      new Reflector({
        kind,
        client,
        codec: jsonCodec,
        sink: sinkOf(kind.kind),
        limits: { ...reflectorLimits, ...limits },
        log,
        failureLog,
        metrics: this.#metrics,
      }),
    ]);
    const failed = new AbortController();
    const stop = AbortSignal.any([signal, failed.signal]);
    const ends = await Promise.allSettled(
      this.#reflectors.map(async ([, reflector]) => {
        try {
          await reflector.run(stop);
        } finally {
          failed.abort();
        }
      }),
    );
    batches.flush();
    await client.close();
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }
}
