/** The workers of one control plane: the real streams of its main thread, over simulated threads. */
import type { FanoutOptions } from "@weft/controlplane/fanout/fanout-options.ts";
import type { StreamInput, StreamPort } from "@weft/controlplane/fanout/stream-port.ts";
import { WorkerStreams } from "@weft/controlplane/workers/worker-streams.ts";
import type { Random } from "./random.ts";
import { SimulatedWorker } from "./simulated-worker.ts";
import type { VirtualTime } from "./virtual-time.ts";

export class SimulatedWorkers {
  readonly #count: number;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #running = new Set<SimulatedWorker>();

  constructor(count: number, time: VirtualTime, random: Random) {
    this.#count = count;
    this.#time = time;
    this.#random = random;
  }

  open(options: FanoutOptions): WorkerStreams {
    const streams = new WorkerStreams(options, {
      workers: this.#count,
      logLevel: "error",
      spawn: (start) => {
        const worker = new SimulatedWorker(start, this.#time, this.#random);
        this.#running.add(worker);
        worker.on("exit", () => this.#running.delete(worker));
        return worker;
      },
    });
    // One that is stopped before it listens is no fault.
    void streams.listen({ host: "192.0.2.9", port: 0 }, { kind: "insecure" }).catch(() => undefined);
    return streams;
  }

  /** As the kernel does, by chance. Undefined: nobody listens. */
  accept(port: StreamPort): StreamInput | undefined {
    return this.#running.size === 0 ? undefined : this.#random.oneOf([...this.#running]).accept(port);
  }

  /** False: there is none. */
  endOne(): boolean {
    if (this.#running.size === 0) return false;
    void this.#random.oneOf([...this.#running]).terminate();
    return true;
  }
}
