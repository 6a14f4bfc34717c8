/** The bare server (`peer-server.ts`) as a process of a bench, on the core of the control plane. */
import type { LabProcess } from "../../lab/lab-process.ts";
import { nodeCommand } from "../../lab/lab-process.ts";
import type { BenchCertificates } from "../bench-certificates.ts";
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

/** What everybody who comes from then on is sent before it is told that it is at the head. */
export interface PeerSnapshot {
  readonly bytes: number;
  /** Of one message. */
  readonly partBytes: number;
  /** As many are sent it at a time; the others wait. */
  readonly inFlightMax: number;
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

  /** @param certificates Raw TCP by mTLS, set up as the control plane does. */
  static async start(
    context: BenchContext,
    protocol: PeerProtocol,
    connections: number,
    certificates?: BenchCertificates,
  ): Promise<Peer> {
    const { authority, server } = certificates ?? {};
    const files = authority && server ? [server.cert, server.key, authority.cert] : [];
    const program = nodeCommand("integration/bench/fan-out/peer-server.ts", protocol, ...files);
    const command = withOpenFiles(openFilesFor(connections), onCore(serverCore, program));
    const started = context.start(`peer-${protocol}`, command);
    const [, port = ""] = await started.lineMatching(/^ready (\d+)$/, readyLimitMs);
    return new Peer(started, Number(port), protocol);
  }

  /** Sends one delta to all. @returns milliseconds until the last ack was read. */
  async broadcast(delta: Broadcast): Promise<number> {
    const acked = this.#process.lineMatching(/^acked (\d+)$/, ackedLimitMs);
    this.#process.send({ broadcast: delta });
    return Number((await acked)[1]) / 1_000;
  }

  /** Resolves when nobody is connected. */
  async emptied(): Promise<void> {
    const emptied = this.#process.lineMatching(/^empty$/, ackedLimitMs);
    this.#process.send({});
    await emptied;
  }

  snapshot(snapshot: PeerSnapshot): void {
    this.#process.send({ snapshot });
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }
}
