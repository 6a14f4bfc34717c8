/** A client in a pod that connects until it reaches what it is told to expect (connects/probe.c). */
import type { LabProcess } from "../../lab/lab-process.ts";

export interface Expectation {
  readonly address: string;
  readonly port: number;
  /** Undefined: any. */
  readonly backend: number | undefined;
  /** Of one connection. */
  readonly timeoutMs: number;
}

export interface Reached {
  /** When the first connection began that reached it; CLOCK_MONOTONIC, microseconds. */
  readonly beganUs: number;
  readonly connects: number;
  /** Of these, refused or not answered in time. */
  readonly failed: number;
}

/** Between two connections, as long as something is expected. */
export const proberPeriodUs = 500;
const readyWaitMs = 15_000;

export class Prober {
  readonly #process: LabProcess;
  readonly #pending = new Map<number, PromiseWithResolvers<Reached>>();
  #next = 0;

  private constructor(process: LabProcess) {
    this.#process = process;
    process.onLine((line) => this.#hear(line));
    void process.ended.then(() => {
      for (const { reject } of this.#pending.values()) reject(new Error(`${process.name} ended: ${process.logTail()}`));
    });
  }

  /** `process`: just started. */
  static async of(process: LabProcess): Promise<Prober> {
    await process.lineMatching(/^ready$/, readyWaitMs);
    return new Prober(process);
  }

  /** Connects from now on, again and again. */
  async reach({ address, port, backend = -1, timeoutMs }: Expectation): Promise<Reached> {
    const id = this.#next++;
    const pending = Promise.withResolvers<Reached>();
    this.#pending.set(id, pending);
    this.#process.send(`expect ${id} ${address} ${port} ${backend} ${timeoutMs}`);
    return pending.promise;
  }

  #hear(line: string): void {
    const [word, ...numbers] = line.split(" ");
    if (word !== "reached") return;
    const [id = -1, beganUs = 0, connects = 0, failed = 0] = numbers.map(Number);
    this.#pending.get(id)?.resolve({ beganUs, connects, failed });
    this.#pending.delete(id);
  }
}
