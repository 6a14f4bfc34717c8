/** The synthetic API server as a process of a bench. */
import fs from "node:fs";
import path from "node:path";
import { nodeCommand } from "../../lab/lab-process.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import type { BenchContext } from "../bench.ts";
import type { ClusterShape } from "../cluster.ts";

const readyLimitMs = 30_000;
const changeLimitMs = 30_000;

export class SyntheticApi {
  /** For `weft-controlplane --kubeconfig`. */
  readonly kubeconfig: string;
  readonly #process: LabProcess;

  private constructor(kubeconfig: string, process: LabProcess) {
    this.kubeconfig = kubeconfig;
    this.#process = process;
  }

  /** Of one family, on loopback where `host` starts it; its kubeconfig is in the folder. Resolves when it listens. */
  static async start(
    host: Pick<BenchContext, "folder" | "start">,
    { services, endpoints, nodes }: ClusterShape,
  ): Promise<SyntheticApi> {
    const size = [services, endpoints, nodes].map(String);
    const started = host.start("synthetic-api", nodeCommand("integration/bench/synthetic-api/main.ts", ...size));
    const [, url = ""] = await started.lineMatching(/^ready (\S+)/, readyLimitMs);
    const kubeconfig = path.join(host.folder, "kubeconfig.json");
    fs.writeFileSync(kubeconfig, JSON.stringify(kubeconfigOf(url)), { mode: 0o600 });
    return new SyntheticApi(kubeconfig, started);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Replaces the last endpoint of `service`. @returns bytes of the event, once it was written. */
  async change(service: number): Promise<number> {
    const changed = this.#process.lineMatching(new RegExp(`^changed ${service} \\d+ (\\d+)`), changeLimitMs);
    this.#process.send({ change: service });
    return Number((await changed)[1]);
  }

  /** The same for each of these, one event behind the other. Resolves once all are written. */
  async changeAll(services: readonly number[]): Promise<void> {
    const last = services.at(-1);
    if (last === undefined) return;
    for (const service of services.slice(0, -1)) this.#process.send({ change: service });
    await this.change(last);
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }
}

function kubeconfigOf(server: string): Readonly<Record<string, unknown>> {
  return {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "bench", cluster: { server } }],
    users: [{ name: "bench", user: {} }],
    contexts: [{ name: "bench", context: { cluster: "bench", user: "bench" } }],
    "current-context": "bench",
  };
}
