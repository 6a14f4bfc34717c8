/** The load program (`load/`) as a process of a bench: thousands of agents, one connection each. */
import path from "node:path";
import type { CertificateFiles } from "@weft/proto/program/testing-certificates.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import type { BenchContext } from "../bench.ts";
import { compileC } from "../compile-c.ts";
import { onCore, withOpenFiles } from "../cores.ts";

export interface LoadOptions {
  readonly name: string;
  readonly port: number;
  readonly agents: number;
  /** Messages without HTTP/2 around them. */
  readonly isTcp?: boolean;
  /** Connections that are not up yet, at a time. Default: 256. */
  readonly inflight?: number | undefined;
  /** HTTP/2 windows. Default: 1 MiB, as agents have them. */
  readonly windowBytes?: number | undefined;
  /** Maximum segment size. Default: that of loopback, which takes in megabytes before a sender has to wait. */
  readonly segmentBytes?: number | undefined;
  /** By mTLS: of this authority, which makes a certificate for every agent and has made the server's. Default: no TLS. */
  readonly authority?: CertificateFiles | undefined;
}

/** What was counted since the start. */
export interface LoadCounts {
  /** From the control plane: TCP payload (as TLS opens it), and HTTP/2 DATA with its framing. */
  readonly bytes: number;
  readonly dataBytes: number;
  /** From the agents: HTTP/2 DATA with its framing. */
  readonly sentDataBytes: number;
  readonly acks: number;
  readonly heartbeats: number;
  readonly messages: number;
  /** Connections that ended without being asked to. */
  readonly lost: number;
  /** TLS handshakes that a session made short. */
  readonly resumed: number;
  /** CPU time of the load program. */
  readonly cpuUs: number;
}

/** All agents that do not stall run `revision` and have acked it; CLOCK_MONOTONIC microseconds. */
export interface Reached extends LoadCounts {
  readonly revision: number;
  readonly agents: number;
  readonly firstUs: number;
  readonly ackedP50Us: number;
  readonly ackedP99Us: number;
  readonly ackedLastUs: number;
}

export interface Up extends LoadCounts {
  readonly elapsedUs: number;
}

/** All were lost and are back; microseconds since they were told that they may be lost. */
export interface Returned extends Up {
  readonly p50Us: number;
}

/** What names of agents begin with; those of the Node objects of `cluster.ts`. */
const agentPrefix = "node-";
const waitLimitMs = 120_000;
/** The core of the load; the other side has core 0. */
export const loadCore = 1;
export const serverCore = 0;

/** Sockets of so many connections, and what a program needs besides. */
export function openFilesFor(connections: number): number {
  return connections + 1_024;
}

export class LoadClient {
  readonly #process: LabProcess;

  private constructor(process: LabProcess) {
    this.#process = process;
  }

  static start(context: BenchContext, options: LoadOptions): LoadClient {
    const program = compileC("load", path.join(import.meta.dirname, "load"), ["-lssl", "-lcrypto"]);
    const {
      name,
      port,
      agents,
      isTcp = false,
      inflight = 256,
      windowBytes = 2 ** 20,
      segmentBytes = 0,
      authority,
    } = options;
    const sizes = `--agents ${agents} --inflight ${inflight} --window ${windowBytes} --mss ${segmentBytes}`;
    const flags = `--port ${port} ${sizes} --prefix ${agentPrefix}${isTcp ? " --tcp" : ""}`;
    const tls = authority === undefined ? [] : ["--tls-ca", authority.cert, "--tls-ca-key", authority.key];
    const command = withOpenFiles(openFilesFor(agents), onCore(loadCore, [program, ...flags.split(" "), ...tls]));
    return new LoadClient(context.start(`load-${name}`, command));
  }

  /** Opens what is closed; resolves when all agents were told that they are at the head. */
  connect(): Promise<Up> {
    return this.#ask("connect", "up");
  }

  /** The same, with the TLS sessions of the connections before. */
  resume(): Promise<Up> {
    return this.#ask("resume", "up");
  }

  /** Opens the first agent; what it holds then, all others will say they hold when they come. */
  async seed(): Promise<void> {
    await this.#ask("seed", "seeded");
  }

  /** All that do not stall run the revision that came next, from this call on. */
  reached(): Promise<Reached> {
    return this.#next<Reached>("reached");
  }

  async close(): Promise<void> {
    await this.#ask("close", "closed");
  }

  /** The first `agents` stop reading. */
  async stall(agents: number): Promise<void> {
    await this.#ask(`stall ${agents}`, "stalled");
  }

  unstall(): void {
    this.#process.sendLine("unstall");
  }

  /** The first `agents` come anew, say what they hold, and read nothing at all. Resolves when they have said it. */
  async deafen(agents: number, holding: "nothing" | "old states"): Promise<void> {
    await this.#ask(`${holding === "nothing" ? "deaf" : "deaf-old"} ${agents}`, "deaf");
  }

  /** Agents that are lost come back by themselves from now on. Resolves when all have been lost and are back. */
  returned(): Promise<Returned> {
    return this.#ask("returns", "returned");
  }

  counts(): Promise<LoadCounts> {
    return this.#ask("counts", "counts");
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }

  #ask<T>(command: string, event: string): Promise<T> {
    const answer = this.#next<T>(event);
    this.#process.sendLine(command);
    return answer;
  }

  // An agent that is lost ends the wait too: what would be measured is not what was meant.
  async #next<T>(event: string): Promise<T> {
    const [line] = await this.#process.lineMatching(new RegExp(`^{"event":"(?:${event}|lost)".*$`), waitLimitMs);
    const said = JSON.parse(line) as T & { readonly event: string; readonly lost: number };
    if (said.event === "lost") throw new Error(`load: ${said.lost} agents lost: ${this.#process.logTail()}`);
    return said;
  }
}
