/** The bare server (`peer-server.ts`) as a process of a bench, on the core of the control plane. */
import type { LabProcess } from "../../lab/lab-process.ts";
import { nodeCommand } from "../../lab/lab-process.ts";
import type { BenchContext } from "../bench.ts";
import { onCore, withOpenFiles } from "../cores.ts";
import { openFilesFor, serverCore } from "./load-client.ts";

export type PeerProtocol = "http2" | "tcp";

export interface Broadcast {
  readonly from: number;
  readonly to: number;
  /** Size of the delta, without framing. */
  readonly bytes: number;
  readonly agents: number;
}

const readyLimitMs = 30_000;
const ackedLimitMs = 60_000;

export class Peer {
  readonly pid: number;
  readonly port: number;
  readonly protocol: PeerProtocol;
  readonly #process: LabProcess;

  private constructor(process: LabProcess, port: number, protocol: PeerProtocol) {
    this.pid = process.pid;
    this.port = port;
    this.protocol = protocol;
    this.#process = process;
  }

  static async start(context: BenchContext, protocol: PeerProtocol, connections: number): Promise<Peer> {
    const program = nodeCommand("integration/bench/fan-out/peer-server.ts", protocol);
    const command = withOpenFiles(openFilesFor(connections), onCore(serverCore, program));
    const started = context.start(`peer-${protocol}`, command);
    const [, port = ""] = await started.lineMatching(/^ready (\d+)$/, readyLimitMs);
    return new Peer(started, Number(port), protocol);
  }

  /** Sends one delta to all. @returns milliseconds until the last ack was read. */
  async broadcast(delta: Broadcast): Promise<number> {
    const acked = this.#process.lineMatching(/^acked (\d+)$/, ackedLimitMs);
    this.#process.send(delta);
    return Number((await acked)[1]) / 1_000;
  }

  /** Resolves when nobody is connected. */
  async emptied(): Promise<void> {
    const emptied = this.#process.lineMatching(/^empty$/, ackedLimitMs);
    this.#process.sendLine("null");
    await emptied;
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }
}
