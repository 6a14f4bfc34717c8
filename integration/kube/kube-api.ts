/** A real API server with its etcd, as one process that may be killed, stopped and started again. */
import fs from "node:fs";
import path from "node:path";
import { LabProcess } from "../lab/lab-process.ts";
import type { ProcessPlace } from "../lab/lab-process.ts";
import { ApiClient } from "./api-client.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import type { ApiAccess } from "./kubeconfig.ts";

export interface KubeApiOptions {
  /** Of this API server alone, at most 80 characters. */
  readonly folder: string;
  /** Of kube-apiserver, behind ours. */
  readonly flags?: readonly string[];
  /** Where it runs; in another network namespace than this process its client cannot be used from here. */
  readonly place?: Pick<ProcessPlace, "cgroup" | "namespace">;
  /** HOST:PORT; default: any free port of loopback. */
  readonly listen?: string;
}

export interface RestartOptions {
  /** Without the objects that it had; certificates and tokens stay valid. */
  readonly losesData?: boolean;
  readonly flags?: readonly string[];
}

const program = path.resolve(import.meta.dirname, "../../.weft/kube/api-server");
const readyLimitMs = 60_000;
const compactLimitMs = 10_000;

/** Why tests against it cannot run here; undefined: they can. */
export function missingForKubeApi(): string | undefined {
  return fs.existsSync(program)
    ? undefined
    : "no API server to test against: run 'npm run kube:build' (needs Go >= 1.26)";
}

export class KubeApi implements AsyncDisposable {
  readonly #folder: string;
  readonly #place: Pick<ProcessPlace, "cgroup" | "namespace">;
  #flags: readonly string[];
  #process: LabProcess | undefined;
  #client: ApiClient | undefined;
  #listen: string;

  private constructor({ folder, flags = [], place = {}, listen = "127.0.0.1:0" }: KubeApiOptions) {
    this.#folder = folder;
    this.#flags = flags;
    this.#place = place;
    this.#listen = listen;
  }

  /** Resolves when it is ready. */
  static async start(options: KubeApiOptions): Promise<KubeApi> {
    const api = new KubeApi(options);
    fs.mkdirSync(options.folder, { recursive: true });
    await api.#start(false);
    return api;
  }

  /** As the user that may do everything. */
  get client(): ApiClient {
    if (this.#client === undefined) throw new Error("the API server was not started");
    return this.#client;
  }

  get access(): ApiAccess {
    return readKubeconfig(this.kubeconfig);
  }

  /** Of the user that may do everything. */
  get kubeconfig(): string {
    return path.join(this.#folder, "kubeconfig");
  }

  /** Files of the certificate that it serves with. */
  get certificate(): { readonly certFile: string; readonly keyFile: string } {
    const certs = path.join(this.#folder, "certs");
    return { certFile: path.join(certs, "apiserver.crt"), keyFile: path.join(certs, "apiserver.key") };
  }

  /** SIGKILL: connections end at once, without a word. */
  async kill(): Promise<void> {
    await this.#running.kill();
    this.#client?.close();
  }

  /** On the address it had. Kills it if it runs. */
  async restart({ losesData = false, flags }: RestartOptions = {}): Promise<void> {
    if (this.#running.isRunning) await this.kill();
    this.#flags = flags ?? this.#flags;
    await this.#start(losesData);
  }

  /** SIGSTOP: connections stay, nothing answers. */
  pause(): void {
    process.kill(this.#running.pid, "SIGSTOP");
  }

  resume(): void {
    process.kill(this.#running.pid, "SIGCONT");
  }

  /** etcd forgets every revision before the current one. */
  async compact(): Promise<void> {
    const compacted = this.#running.lineMatching(/^compacted revision=/, compactLimitMs);
    this.#running.send("compact");
    await compacted;
  }

  /** Open watches by resource, by the API server's own count: its controllers have some, too. */
  async watches(): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>();
    const metrics = await this.client.text("/metrics");
    const samples = metrics.matchAll(/^apiserver_longrunning_requests\{(.*)\} (\S+)$/gm);
    for (const [, labels = "", count] of samples) {
      const resource = /\bresource="([^"]*)"/.exec(labels)?.[1] ?? "";
      if (labels.includes('verb="WATCH"')) counts.set(resource, (counts.get(resource) ?? 0) + Number(count));
    }
    return counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  get #running(): LabProcess {
    if (this.#process === undefined) throw new Error("the API server was not started");
    return this.#process;
  }

  async #start(isFresh: boolean): Promise<void> {
    const own = ["-dir", this.#folder, "-listen", this.#listen, ...(isFresh ? ["-fresh"] : [])];
    const place = { ...this.#place, registry: this.#folder, logFile: path.join(this.#folder, "api-server.log") };
    this.#process = LabProcess.start("api-server", [program, ...own, "--", ...this.#flags], place);
    await this.#process.lineMatching(/^ready /, readyLimitMs);
    // A port that was 0 stays what it became.
    this.#listen = new URL(this.access.url).host;
    this.#client = new ApiClient(this.access);
  }
}
