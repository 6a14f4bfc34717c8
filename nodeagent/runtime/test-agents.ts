/** One node's folder, a control plane and dataplanes that a test steers, for tests of the agent. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { parseAddress } from "@weft/proto/address.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import { createLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import type { Adopted, Dataplane } from "../dataplane/dataplane.ts";
import { MemoryDataplane } from "../dataplane/memory/memory-dataplane.ts";
import { planLines } from "../plan/plan-line.ts";
import { defaultSyncLimits } from "../sync/sync-state.ts";
import { Agent } from "./agent.ts";
import type { AgentOptions } from "./agent.ts";
import { dialer } from "./discovery-stream.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

export interface RunningAgent {
  readonly agent: Agent;
  lines(): readonly string[];
  /** "ip:port" of every backend of an internal frontend, without repeats. */
  backends(): readonly string[];
  /** Services with a frontend. */
  services(): number;
  stop(): Promise<void>;
}

/** One node's folder, a control plane, and the agents that a test starts. */
export class AgentLab implements AsyncDisposable {
  readonly plane: FakeControlPlane;
  readonly log: string[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "weft-agent-"));
  readonly #running = new Set<RunningAgent>();
  #metrics = new Metrics();

  private constructor(plane: FakeControlPlane) {
    this.plane = plane;
  }

  static async start(): Promise<AgentLab> {
    return new AgentLab(await FakeControlPlane.listen());
  }

  /** Another one than the node's. */
  otherFolder(): string {
    return join(this.#folder, "other");
  }

  /** Resolves once the agent is ready. */
  async agent(options: Partial<AgentOptions> = {}): Promise<RunningAgent> {
    const stop = new AbortController();
    this.#metrics = new Metrics();
    const loopback = parseAddress("192.0.2.1");
    assert.ok(loopback !== undefined);
    const agent = await Agent.open({
      node: "n1",
      stateFolder: this.#folder,
      dataplane: new MemoryDataplane(),
      dataplaneKind: "memory",
      openStream: dialer({
        address: this.plane.address,
        credentials: credentials.createInsecure(),
        channelOptions: {},
      }),
      addresses: [loopback],
      limits: defaultSyncLimits,
      log: createLog({ logLevel: "debug", logFormat: "text", write: (line) => this.log.push(line) }),
      metrics: this.#metrics,
      ...options,
    });
    let ended: Promise<void> = Promise.resolve();
    await new Promise<void>((resolve, reject) => {
      ended = agent.run(stop.signal, resolve);
      ended.catch(reject);
    });
    const lines = (): readonly string[] => planLines(agent.dump());
    const running: RunningAgent = {
      agent,
      lines,
      backends: () =>
        [...new Set(agent.dump().flatMap(({ targets }) => targets.map((to) => `${to.address}:${to.port}`)))].toSorted(),
      services: () => new Set(agent.dump().map(({ servicePort }) => servicePort)).size,
      stop: async () => {
        this.#running.delete(running);
        stop.abort();
        await ended;
      },
    };
    this.#running.add(running);
    return running;
  }

  /** Value of a series of the newest agent. */
  count(series: string): number {
    const line = this.#metrics
      .print()
      .split("\n")
      .find((text) => text.startsWith(`${series} `));
    return line === undefined ? 0 : Number(line.slice(series.length));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running) await running.stop();
    await this.plane[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A memory dataplane that an earlier agent left live at a cursor. */
export class PinnedDataplane extends MemoryDataplane implements Dataplane {
  readonly activated: number[] = [];
  readonly #live: Cursor;

  constructor(live: Cursor) {
    super();
    this.#live = live;
  }

  override open(): Promise<Adopted> {
    return Promise.resolve({ cursor: this.#live });
  }

  override replaceAll(
    ...[round, before]: Parameters<MemoryDataplane["replaceAll"]>
  ): ReturnType<MemoryDataplane["replaceAll"]> {
    this.activated.push(round.cursor.revision);
    return super.replaceAll(round, before);
  }
}

/** A memory dataplane whose next round waits or fails when told. */
export class SteeredDataplane extends MemoryDataplane implements Dataplane {
  readonly activated: number[] = [];
  /** Resolves once a round waits. */
  held: Promise<void> = Promise.resolve();
  #gate: Promise<void> | undefined;
  #reached: () => void = () => undefined;
  #fails = false;

  /** The next round waits until what is returned is called. */
  holdNext(): () => void {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    this.#gate = gate.promise;
    this.held = reached.promise;
    this.#reached = reached.resolve;
    return gate.resolve;
  }

  failNext(): void {
    this.#fails = true;
  }

  override async apply(...[round, before]: Parameters<MemoryDataplane["apply"]>): ReturnType<MemoryDataplane["apply"]> {
    await this.#steer();
    this.activated.push(round.cursor.revision);
    return super.apply(round, before);
  }

  override async replaceAll(
    ...[round, before]: Parameters<MemoryDataplane["replaceAll"]>
  ): ReturnType<MemoryDataplane["replaceAll"]> {
    await this.#steer();
    this.activated.push(round.cursor.revision);
    return super.replaceAll(round, before);
  }

  async #steer(): Promise<void> {
    const gate = this.#gate;
    this.#gate = undefined;
    if (gate !== undefined) this.#reached();
    await gate;
    if (!this.#fails) return;
    this.#fails = false;
    throw new Error("EIO: told to fail");
  }
}
