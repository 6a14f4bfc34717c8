/** The place of one worker: starts its thread, and starts it again, later each time, when it ends unasked. */
import { Worker } from "node:worker_threads";
import { ProgramError, messageOf } from "@weft/proto/program/errors.ts";
import type { ProgramErrorCode } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { HostPort } from "@weft/proto/program/socket-address.ts";
import type { StreamSizes } from "../fanout/streams.ts";
import type { ToWorker, WorkerBatch, WorkerStart } from "./worker-messages.ts";

const restartLeastMs = 250;
const restartMostMs = 10_000;
/** One that ran for so long is started again at once. */
const steadyMs = 60_000;
/** A worker tells its sizes four times a second; one that is silent for this long is stuck and is ended. */
const silentMaxMs = 30_000;

/** What a slot needs of a thread. */
export interface WorkerThread {
  readonly performance?: { eventLoopUtilization(): { readonly active: number } };
  postMessage(message: ToWorker): void;
  terminate(): Promise<number>;
  on(event: "message", listener: (batch: WorkerBatch) => void): unknown;
  on(event: "error", listener: (error: unknown) => void): unknown;
  on(event: "exit", listener: () => void): unknown;
}

export interface WorkerSlotOptions {
  /** From 1. */
  readonly worker: number;
  readonly log: Log;
  readonly now: () => number;
  /** What a thread that starts now is given. */
  readonly start: (listen: HostPort) => WorkerStart;
  /** Default: a thread of its own. */
  readonly spawn: ((start: WorkerStart) => WorkerThread) | undefined;
  /** A thread was started: it is sent what the others have. */
  readonly started: () => void;
  readonly took: (batch: WorkerBatch) => void;
  readonly ended: () => void;
}

export function spawnThread(start: WorkerStart): WorkerThread {
  const name = `weft-worker-${start.worker}`;
  return new Worker(new URL("worker-main.ts", import.meta.url), { workerData: start, name });
}

const noSizes: StreamSizes = { streams: 0, agents: 0, snapshots: { inFlight: 0, stuck: 0, waiting: 0 } };

export class WorkerSlot {
  readonly worker: number;
  readonly #options: WorkerSlotOptions;
  readonly #listening = Promise.withResolvers<string>();
  #sizes = noSizes;
  #thread: WorkerThread | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopping = false;
  // Whoever waits for the first start is told; later ones are tried again.
  #hasListened = false;
  #gone = Promise.withResolvers<void>();
  #startedMs = 0;
  #heardMs = 0;
  #failures = 0;
  #restarts = 0;

  constructor(options: WorkerSlotOptions) {
    this.worker = options.worker;
    this.#options = options;
    // Who starts it waits for it; a worker that is started again fails alone.
    this.#listening.promise.catch(() => undefined);
  }

  get isRunning(): boolean {
    return this.#thread !== undefined;
  }

  /** As the worker told them last. */
  get sizes(): StreamSizes {
    return this.#sizes;
  }

  /** Time in which its event loop was not idle, since it was started last. */
  get busySeconds(): number {
    return (this.#thread?.performance?.eventLoopUtilization().active ?? 0) / 1_000;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** @returns "HOST:PORT" as bound. @throws ProgramError if it cannot listen. */
  listen(at: HostPort): Promise<string> {
    this.#start(at);
    return this.#listening.promise;
  }

  post(message: ToWorker): void {
    this.#thread?.postMessage(message);
  }

  /** Ends one that is stuck. `isLate`: this thread itself was held up, and what workers sent meanwhile is not read yet. */
  tick(isLate: boolean): void {
    const nowMs = this.#options.now();
    if (isLate) this.#heardMs = nowMs;
    if (this.#thread === undefined || nowMs - this.#heardMs < silentMaxMs) return;
    this.#heardMs = nowMs;
    this.#options.log.error("a worker is stuck and is ended", { worker: this.worker, silentMs: silentMaxMs });
    void this.#thread.terminate();
  }

  /** Asks it to let its agents go; it is not started again. Resolves when it has ended, after `maxMs` at the latest. */
  async stop(maxMs: number): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#timer);
    const thread = this.#thread;
    if (thread === undefined) return;
    this.post({ kind: "drain" });
    const timer = setTimeout(() => void thread.terminate(), maxMs);
    await this.#gone.promise;
    clearTimeout(timer);
  }

  #start(at: HostPort): void {
    const { now, start, started } = this.#options;
    let bound = at;
    const { spawn = spawnThread } = this.#options;
    const thread = spawn(start(at));
    let failure: unknown;
    this.#thread = thread;
    this.#gone = Promise.withResolvers<void>();
    this.#startedMs = this.#heardMs = now();
    thread.on("message", (batch: WorkerBatch) => {
      this.#heardMs = now();
      for (const event of batch.events) {
        if (event.kind === "listening") {
          bound = { host: at.host, port: Number(event.address.slice(event.address.lastIndexOf(":") + 1)) };
          this.#hasListened = true;
          this.#listening.resolve(event.address);
        } else if (event.kind === "not-listening") {
          const { code, message, remedy } = event;
          failure = new ProgramError(code as ProgramErrorCode, message, { remedy });
        } else if (event.kind === "sizes") {
          this.#sizes = event.sizes;
        }
      }
      this.#options.took(batch);
    });
    thread.on("error", (error) => (failure = error));
    thread.on("exit", () => this.#ended(bound, failure));
    started();
  }

  #ended(at: HostPort, failure: unknown): void {
    const { log, now, ended } = this.#options;
    this.#thread = undefined;
    this.#sizes = noSizes;
    ended();
    this.#gone.resolve();
    this.#listening.reject(failure ?? new Error(`worker ${this.worker} ended before it listened`));
    if (this.#isStopping || !this.#hasListened) return;
    this.#failures = now() - this.#startedMs > steadyMs ? 0 : this.#failures + 1;
    const afterMs = Math.min(restartMostMs, restartLeastMs * 2 ** this.#failures);
    const error = failure === undefined ? "it ended without an error" : messageOf(failure);
    log.error("a worker ended; its agents come back, and it is started again", {
      worker: this.worker,
      error,
      stack: failure instanceof Error && !(failure instanceof ProgramError) ? failure.stack : undefined,
      afterMs,
    });
    this.#timer = setTimeout(() => {
      this.#restarts++;
      this.#start(at);
    }, afterMs);
  }
}
