/** A lab whose control plane follows a synthetic API server: a large cluster, loaded in seconds by the path that a real one takes. */
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expectSuccess, runCommand } from "../lab/command.ts";
import type { CommandResult } from "../lab/command.ts";
import { createLab } from "../lab/lab.ts";
import type { Lab, LabOptions } from "../lab/lab.ts";
import { LabProcess, nodeCommand } from "../lab/lab-process.ts";
import type { ProcessPlace } from "../lab/lab-process.ts";
import type { BenchContext } from "./bench.ts";
import type { ClusterShape } from "./cluster.ts";
import { SyntheticApi } from "./synthetic-api/synthetic-api.ts";

const loadLimitMs = 300_000;
const ackLimitMs = 120_000;
const pollMs = 100;

/** An ack as the control plane saw it. */
export interface FirstAck {
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Of the agent: from the last part of what it lacked until it was active. */
  readonly receivedToActiveMs: number;
}

export class FedLab implements AsyncDisposable {
  readonly lab: Lab;
  readonly api: SyntheticApi;
  /** From the start of the control plane until it was ready. */
  readonly loadedAfterMs: number;
  readonly #revisions: LabProcess;
  readonly #committedAtMs: number;

  private constructor(
    lab: Lab,
    api: SyntheticApi,
    loadedAfterMs: number,
    revisions: LabProcess,
    committedAtMs: number,
  ) {
    this.lab = lab;
    this.api = api;
    this.loadedAfterMs = loadedAfterMs;
    this.#revisions = revisions;
    this.#committedAtMs = committedAtMs;
  }

  /** Resolves when the control plane is ready. No agent is started. */
  static async start(
    options: Pick<LabOptions, "name" | "nodes" | "dataplane">,
    shape: ClusterShape,
    { signal }: Pick<BenchContext, "signal">,
  ): Promise<FedLab> {
    const lab = await createLab({ ...options, isBare: true });
    try {
      const { place } = lab.controlplane;
      const start = (name: string, command: readonly string[]): LabProcess => LabProcess.start(name, command, place);
      const api = await SyntheticApi.start({ folder: lab.folder, start }, shape);
      const beganMs = performance.now();
      await lab.controlplane.start(["--kubeconfig", api.kubeconfig]);
      const { http, address } = lab.controlplane;
      while ((await fetchIn(place, `http://${http}/readyz`)).code !== 0) {
        signal.throwIfAborted();
        if (performance.now() - beganMs > loadLimitMs) throw new Error(`not ready after ${loadLimitMs} ms`);
        await delay(pollMs);
      }
      const loadedAfterMs = performance.now() - beganMs;
      const watch = ["revisions", "--watch", "--past", "1", "-o", "json", "--controlplane", address, "--insecure"];
      const revisions = LabProcess.start("weft revisions", nodeCommand("cli/main.ts", ...watch), place);
      const [, committedAtUs] = await revisions.lineMatching(/"event":"commit".*"committedAtUs":(\d+)/, ackLimitMs);
      return new FedLab(lab, api, loadedAfterMs, revisions, Number(committedAtUs) / 1_000);
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  /** To be asked for before the agent of that node starts. */
  async firstAck(node: string): Promise<FirstAck> {
    const ack = new RegExp(`"event":"ack","node":"${node}",.*"commitToAckUs":(\\d+),"receivedToActiveUs":(\\d+)`);
    const [, commitToAckUs, receivedToActiveUs] = await this.#revisions.lineMatching(ack, ackLimitMs);
    return {
      atMs: this.#committedAtMs + Number(commitToAckUs) / 1_000,
      receivedToActiveMs: Number(receivedToActiveUs) / 1_000,
    };
  }

  /** Starts an agent on the memory dataplane beside the control plane. Resolves with the address of its HTTP when it runs. */
  async startMemoryAgent(node: string): Promise<{ readonly process: LabProcess; readonly http: string }> {
    const state = path.join(this.lab.folder, "state", node);
    const flags = ["--insecure", "--state", state, "--http", "127.0.0.1:0", "--dataplane", "memory"];
    const command = ["run", "--node", node, "--controlplane", this.lab.controlplane.address, ...flags];
    const { place } = this.lab.controlplane;
    const started = LabProcess.start(`weft-agent ${node}`, nodeCommand("nodeagent/main.ts", ...command), place);
    const [, http = ""] = await started.lineMatching(/^ready node=\S+ http=(\S+)/, ackLimitMs);
    return { process: started, http };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.destroy();
  }
}

/** The text that a URL answers, asked for where `place` is. */
export async function textIn(place: ProcessPlace, url: string): Promise<string> {
  return expectSuccess(await fetchIn(place, url));
}

async function fetchIn(place: ProcessPlace, url: string): Promise<CommandResult> {
  return runCommand(`fetch ${url}`, nodeCommand("integration/bench/fetch-text.ts", url), place);
}
