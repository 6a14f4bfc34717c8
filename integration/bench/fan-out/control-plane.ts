/** The real control plane as a process of a bench, on a core of its own. */
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LabProcess } from "../../lab/lab-process.ts";
import type { BenchCertificates } from "../bench-certificates.ts";
import type { BenchContext } from "../bench.ts";
import { onCore, withOpenFiles } from "../cores.ts";
import { inspectedHeap } from "../inspected-heap.ts";
import type { InspectedHeap } from "../inspected-heap.ts";
import { openFilesFor, serverCore } from "./load-client.ts";

const launcher = path.join(import.meta.dirname, "../../../controlplane/bin/weft-controlplane");
const readyLimitMs = 120_000;
const settleLimitMs = 120_000;
const pollMs = 100;

/** A revision that runs on all nodes that were connected at its commit. */
export interface Converged {
  readonly revision: number;
  readonly nodes: number;
  /** From the commit until the last ack was read. */
  readonly elapsedMs: number;
}

export interface ControlPlaneOptions {
  /** Default: without TLS. */
  readonly certificates?: BenchCertificates | undefined;
  /** Default: 1. */
  readonly workers?: number;
  /** It listens for debuggers, for `heap`. */
  readonly isInspected?: boolean;
  /** Default: a free one. */
  readonly port?: number;
  /** On all cores, that of the load too. Default: on one of its own. */
  readonly isOnAllCores?: boolean;
}

export class BenchControlPlane {
  readonly pid: number;
  readonly port: number;
  /** HOST:PORT of probes and metrics. */
  readonly http: string;
  readonly #process: LabProcess;
  readonly #logFile: string;

  private constructor(of: LabProcess, port: number, http: string, logFile: string) {
    this.pid = of.pid;
    this.port = port;
    this.http = http;
    this.#process = of;
    this.#logFile = logFile;
  }

  /** On loopback. Resolves when its source is synced. */
  static async start(
    context: BenchContext,
    kubeconfig: string,
    agents: number,
    { certificates, workers = 1, port = 0, isOnAllCores = false, isInspected = false }: ControlPlaneOptions = {},
  ): Promise<BenchControlPlane> {
    const logFile = path.join(context.folder, `weft-controlplane-${Date.now()}.log`);
    const flags = `--kubeconfig ${kubeconfig} --log-format json --listen 127.0.0.1:${port} --http 127.0.0.1:0 --workers ${workers}`;
    const security = certificates === undefined ? ["--insecure"] : tlsFlags(certificates);
    const environment = isInspected ? ["env", "NODE_OPTIONS=--inspect=127.0.0.1:0"] : [];
    const program = [...environment, launcher, ...flags.split(" "), ...security];
    const command = withOpenFiles(openFilesFor(agents), isOnAllCores ? program : onCore(serverCore, program));
    const started = context.start("weft-controlplane", ["sh", "-c", 'exec "$@" 2>"$0"', logFile, ...command]);
    const [, grpc = "", http = ""] = await started.lineMatching(/^ready grpc=\S+:(\d+) http=(\S+)/, readyLimitMs);
    const controlPlane = new BenchControlPlane(started, Number(grpc), http, logFile);
    await controlPlane.until(
      ({ weft_source_synced: synced = 0, weft_catalog_revision: head = 0 }) => synced + head > 1,
    );
    return controlPlane;
  }

  /** Without garbage. Of one that `isInspected`; blocks it for that time. */
  async heap(): Promise<InspectedHeap> {
    const url = /^Debugger listening on (ws:\S+)$/m.exec(fs.readFileSync(this.#logFile, "utf8"))?.[1];
    if (url === undefined) throw new Error("the control plane does not listen for debuggers");
    return inspectedHeap(url);
  }

  /** Metrics by name, with their labels as printed. */
  async metrics(): Promise<Readonly<Record<string, number>>> {
    const text = await (await fetch(`http://${this.http}/metrics`)).text();
    const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    return Object.fromEntries(
      samples.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
    );
  }

  /** Looks at the metrics, seldom, until they are so. */
  async until(isSo: (metrics: Readonly<Record<string, number>>) => boolean): Promise<void> {
    const deadline = performance.now() + settleLimitMs;
    for (;;) {
      if (isSo(await this.metrics())) return;
      if (performance.now() > deadline)
        throw new Error(`the control plane did not get there: ${this.#process.logTail()}`);
      await sleep(pollMs);
    }
  }

  /** Resolves when no agent is connected. */
  async emptied(): Promise<void> {
    await this.until(({ weft_fanout_streams: open }) => open === 0);
  }

  /** All that it has said so far about revisions that run everywhere. */
  converged(): readonly Converged[] {
    return fs
      .readFileSync(this.#logFile, "utf8")
      .split("\n")
      .filter((line) => line.includes("revision runs on all nodes"))
      .map((line) => JSON.parse(line) as Converged);
  }

  /** What it says of this revision, as soon as it does. */
  async convergence(revision: number): Promise<Converged> {
    const deadline = performance.now() + settleLimitMs;
    for (;;) {
      const converged = this.converged().find((each) => each.revision === revision);
      if (converged !== undefined) return converged;
      if (performance.now() > deadline) throw new Error(`revision ${revision} did not run on all agents`);
      await sleep(pollMs);
    }
  }

  /** As at a rolling restart. Resolves when it has ended. */
  async terminate(): Promise<void> {
    process.kill(this.pid, "SIGTERM");
    await this.#process.ended;
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }
}

function tlsFlags({ authority, server }: BenchCertificates): readonly string[] {
  return ["--tls-client-ca", authority.cert, "--tls-cert", server.cert, "--tls-key", server.key];
}
