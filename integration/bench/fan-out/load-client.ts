/** The load program (`load/`) as a process of a bench: thousands of agents, one connection each. */
import path from "node:path";
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
  readonly inflight?: number;
}

/** What was counted since the start. */
export interface LoadCounts {
  /** From the control plane: TCP payload, and HTTP/2 DATA with its framing. */
  readonly bytes: number;
  readonly dataBytes: number;
  /** From the agents: HTTP/2 DATA with its framing. */
  readonly sentDataBytes: number;
  readonly acks: number;
  readonly heartbeats: number;
  readonly messages: number;
  /** Connections that ended without being asked to. */
  readonly lost: number;
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
    const program = compileC("load", path.join(import.meta.dirname, "load"));
    const { name, port, agents, isTcp = false, inflight = 256 } = options;
    const flags = `--port ${port} --agents ${agents} --inflight ${inflight} --prefix ${agentPrefix}${isTcp ? " --tcp" : ""}`;
    const command = withOpenFiles(openFilesFor(agents), onCore(loadCore, [program, ...flags.split(" ")]));
    return new LoadClient(context.start(`load-${name}`, command));
  }

  /** Opens what is closed; resolves when all agents were told that they are at the head. */
  async connect(): Promise<Up> {
    const up = this.#next<Up>("up");
    this.#process.sendLine("connect");
    return up;
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
