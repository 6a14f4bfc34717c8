/** Who takes part in `fan-out`: the control plane and the bare servers, each with the same agents, one round at a time. */
import type { BenchContext } from "../bench.ts";
import { cpuTimeMs } from "../process-usage.ts";
import type { SyntheticApi } from "../synthetic-api/synthetic-api.ts";
import { BenchControlPlane } from "./control-plane.ts";
import { LoadClient } from "./load-client.ts";
import type { LoadCounts } from "./load-client.ts";
import { Peer } from "./peer.ts";
import type { PeerProtocol } from "./peer.ts";

/** One change that all agents have acked. */
export interface Round {
  readonly lastAckMs: number;
  readonly serverCpuMs: number;
  readonly loadCpuMs: number;
  /** To each agent: the whole message with its framing. */
  readonly bytesEach: number;
}

export interface Contestant {
  readonly name: string;
  round(): Promise<Round>;
}

/** Around the message of a delta: the header of DATA, the header of a gRPC message. */
const http2FramingBytes = 14;
/** For what is not measured: callbacks of the last writes, the log line. */
const afterMs = 20;

export class WeftContestant implements Contestant {
  readonly name = "weft";
  readonly controlPlane: BenchControlPlane;
  readonly load: LoadClient;
  readonly #api: SyntheticApi;
  readonly #agents: number;
  readonly #services: number;
  #rounds = 0;

  private constructor(
    controlPlane: BenchControlPlane,
    load: LoadClient,
    api: SyntheticApi,
    agents: number,
    services: number,
  ) {
    this.controlPlane = controlPlane;
    this.load = load;
    this.#api = api;
    this.#agents = agents;
    this.#services = services;
  }

  /** Resolves when all agents are connected. */
  static async start(
    context: BenchContext,
    api: SyntheticApi,
    agents: number,
    services: number,
  ): Promise<WeftContestant> {
    const controlPlane = await BenchControlPlane.start(context, api.kubeconfig, agents);
    const load = LoadClient.start(context, { name: "weft", port: controlPlane.port, agents });
    await load.connect();
    return new WeftContestant(controlPlane, load, api, agents, services);
  }

  async round(): Promise<Round> {
    const before = await countsOf(this.load, this.controlPlane.pid);
    const reached = this.load.reached();
    await this.#api.change(this.#rounds++ % this.#services);
    const { revision } = await reached;
    await settle();
    const converged = await this.controlPlane.convergence(revision);
    if (converged.nodes !== this.#agents)
      throw new Error(`revision ${revision} ran on ${converged.nodes} of ${this.#agents} agents`);
    return roundOf(converged.elapsedMs, before, await countsOf(this.load, this.controlPlane.pid), this.#agents);
  }
}

export class PeerContestant implements Contestant {
  readonly name: string;
  readonly #peer: Peer;
  readonly #load: LoadClient;
  readonly #agents: number;
  readonly #bytesEach: () => number;
  #revision = 1;

  private constructor(peer: Peer, load: LoadClient, agents: number, bytesEach: () => number) {
    this.name = peer.protocol === "tcp" ? "raw TCP" : "node:http2";
    this.#peer = peer;
    this.#load = load;
    this.#agents = agents;
    this.#bytesEach = bytesEach;
  }

  /** @param bytesEach what an agent of the control plane got in the last round, with HTTP/2 framing. */
  static async start(
    context: BenchContext,
    protocol: PeerProtocol,
    agents: number,
    bytesEach: () => number,
  ): Promise<PeerContestant> {
    const peer = await Peer.start(context, protocol, agents);
    const load = LoadClient.start(context, { name: protocol, port: peer.port, agents, isTcp: protocol === "tcp" });
    await load.connect();
    return new PeerContestant(peer, load, agents, bytesEach);
  }

  async round(): Promise<Round> {
    const before = await countsOf(this.#load, this.#peer.pid);
    const [from, to] = [this.#revision, ++this.#revision];
    const bytes = this.#bytesEach() - http2FramingBytes;
    const lastAckMs = await this.#peer.broadcast({ from, to, bytes, agents: this.#agents });
    await settle();
    return roundOf(lastAckMs, before, await countsOf(this.#load, this.#peer.pid), this.#agents);
  }
}

interface Counts {
  readonly load: LoadCounts;
  readonly serverCpuMs: number;
}

async function countsOf(load: LoadClient, pid: number): Promise<Counts> {
  return { serverCpuMs: cpuTimeMs(pid), load: await load.counts() };
}

function roundOf(lastAckMs: number, before: Counts, after: Counts, agents: number): Round {
  return {
    lastAckMs,
    serverCpuMs: after.serverCpuMs - before.serverCpuMs,
    loadCpuMs: (after.load.cpuUs - before.load.cpuUs) / 1_000,
    bytesEach: (after.load.dataBytes - before.load.dataBytes) / agents,
  };
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, afterMs));
}
