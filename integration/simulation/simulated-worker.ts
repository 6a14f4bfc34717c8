/** A worker of the control plane: its real fan-out, and messages between it and the main thread that take their time, in order. */
import { EventEmitter } from "node:events";
import type { StreamInput, StreamPort } from "@weft/controlplane/fanout/stream-port.ts";
import { WorkerFanout } from "@weft/controlplane/workers/worker-fanout.ts";
import type { ToWorker, WorkerStart } from "@weft/controlplane/workers/worker-messages.ts";
import { copyMessage } from "./copy-message.ts";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Longest way of a message between threads. */
const messageMaxMs = 20;

export class SimulatedWorker extends EventEmitter {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #fanout: WorkerFanout;
  readonly #drained = new AbortController();
  readonly #ports = new Set<StreamPort>();
  readonly #lastMs = { in: 0, out: 0 };
  readonly #told: () => void;
  #isDead = false;

  constructor(start: WorkerStart, time: VirtualTime, random: Random) {
    super();
    this.#time = time;
    this.#random = random;
    this.#fanout = new WorkerFanout(start, (batch) => {
      const sent = copyMessage(batch);
      this.#pass("out", () => this.emit("message", sent));
    });
    this.#fanout.outbox.put({ kind: "listening", address: "192.0.2.9:1" });
    this.#told = this.#fanout.telling();
    void this.#serve();
  }

  /** Undefined: nobody listens. */
  accept(port: StreamPort): StreamInput | undefined {
    if (this.#isDead || this.#drained.signal.aborted) return undefined;
    this.#ports.add(port);
    const input = this.#fanout.streams.open(port);
    const alive =
      <T extends unknown[]>(run: (...given: T) => void) =>
      (...given: T): void => {
        if (!this.#isDead) run(...given);
      };
    return {
      receive: alive((request) => input.receive(request)),
      refuse: alive((refusal) => input.refuse(refusal)),
      leave: alive((reason, message, retryAfterMs) => input.leave(reason, message, retryAfterMs)),
      closed: alive((reason) => {
        this.#ports.delete(port);
        input.closed(reason);
      }),
    };
  }

  postMessage(message: ToWorker): void {
    const sent = copyMessage(message);
    this.#pass("in", () => {
      if (this.#isDead) return;
      if (sent.kind === "drain") this.#drained.abort();
      else this.#fanout.take(sent);
    });
  }

  /** Its connections break with it. */
  terminate(): Promise<number> {
    this.#end();
    return Promise.resolve(1);
  }

  async #serve(): Promise<void> {
    await this.#fanout.run(this.#drained.signal);
    if (this.#isDead) return;
    this.#told();
    this.#end();
  }

  #end(): void {
    if (this.#isDead) return;
    // What it told before still arrives.
    this.#pass("out", () => this.emit("exit", 1));
    this.#isDead = true;
    this.#told();
    this.#drained.abort();
    for (const port of this.#ports) port.drop();
  }

  #pass(way: "in" | "out", arrive: () => void): void {
    if (this.#isDead) return;
    const atMs = Math.max(this.#lastMs[way], this.#time.nowMs + this.#random.delayMs(messageMaxMs));
    this.#lastMs[way] = atMs;
    this.#time.at(atMs, arrive);
  }
}
