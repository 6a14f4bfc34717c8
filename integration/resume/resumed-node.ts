/** A real agent with a memory dataplane in this process, whose store a test can spoil, and which outlives control planes. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { credentials } from "@grpc/grpc-js";
import type { Cursor } from "@weft/proto/cursor.ts";
import { createLog, silentLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import { MemoryDataplane } from "@weft/nodeagent/dataplane/memory/memory-dataplane.ts";
import { Agent } from "@weft/nodeagent/runtime/agent.ts";
import { dialer } from "@weft/nodeagent/runtime/discovery-stream.ts";
import type { ReceivedPart } from "@weft/nodeagent/sync/received-resource.ts";
import { StateFile } from "@weft/nodeagent/sync/state-file.ts";
import { Store } from "@weft/nodeagent/sync/store.ts";
import { defaultSyncLimits } from "@weft/nodeagent/sync/sync-state.ts";
import { waitUntil } from "../kube/wait-until.ts";

const patienceMs = 60_000;

export class ResumedNode implements AsyncDisposable {
  readonly logged: string[] = [];
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), "weft-resume-"));
  readonly #node: string;
  #store = new Store();
  #metrics = new Metrics();
  #agent: Agent | undefined;
  #stop = new AbortController();
  #ended: Promise<void> = Promise.resolve();

  constructor(node: string) {
    this.#node = node;
  }

  /** What it holds; to be spoilt. */
  get store(): Store {
    return this.#store;
  }

  /** Starts, or starts again with its state on disk, towards "HOST:PORT". */
  async start(controlPlane: string): Promise<void> {
    await this.stop();
    this.#store = new Store();
    this.#metrics = new Metrics();
    this.#stop = new AbortController();
    this.#agent = await Agent.open({
      node: this.#node,
      stateFolder: this.#folder,
      dataplane: new MemoryDataplane(),
      dataplaneKind: "memory",
      openStream: dialer({ address: controlPlane, credentials: credentials.createInsecure(), channelOptions: {} }),
      addresses: [],
      limits: defaultSyncLimits,
      log: createLog({ logLevel: "info", logFormat: "text", write: (line) => this.logged.push(line) }),
      metrics: this.#metrics,
      store: this.#store,
    });
    const ready = Promise.withResolvers<void>();
    this.#ended = this.#agent.run(this.#stop.signal, ready.resolve);
    this.#ended.catch(ready.reject);
    await ready.promise;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  /** "address:port" of every target that is live, without repeats. */
  targets(): readonly string[] {
    const frontends = this.#agent?.dump() ?? [];
    return [...new Set(frontends.flatMap(({ targets }) => targets.map((to) => `${to.address}:${to.port}`)))].toSorted();
  }

  /** Appends to the state on disk what the agent never received, at the cursor that it says. The agent is stopped. */
  spoilFile(part: ReceivedPart): void {
    const { file, saved } = StateFile.open({ folder: this.#folder, log: silentLog });
    const { cursor } = saved ?? {};
    if (saved === undefined || cursor === undefined) throw new Error("no state on disk");
    file.append({ removed: part.removed, puts: part.puts, commit: { cursor, view: saved.view } });
    file[Symbol.dispose]();
  }

  /** What is live because of it. */
  get active(): Cursor | undefined {
    return this.#agent?.active;
  }

  async until(is: () => boolean, what: string): Promise<void> {
    await waitUntil(async () => Promise.resolve(is() ? undefined : `${this.#node} waits for ${what}`), patienceMs);
  }

  /** Value of a series such as `weft_x_total{scope="y"}`; 0 if it is not there. */
  metric(series: string): number {
    const line = this.#metrics
      .print()
      .split("\n")
      .find((text) => text.startsWith(`${series} `));
    return Number(line?.slice(series.length + 1) ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}
