/** Services whose one ready pod moves to another of the backends: each move is one change at the API, seen by the next connection. */
import { servicePort } from "../cluster.ts";
import { clusterIpOf, endpointsPerService, oneReady, sliceName } from "./api-objects.ts";
import type { Prober } from "./prober.ts";
import type { Stage } from "./stage.ts";

/** Services that are changed in turn, so that a slow proxy is done with one before it changes again. */
export const movingServices = 100;
const connectTimeoutMs = 1_000;

/** Of one change. */
export interface Move {
  /** From the answer to the write until the first connection began that reached the new backend; at least 0. */
  readonly liveMs: number;
  readonly connects: number;
  /** Of these, refused or not answered within a second. */
  readonly failed: number;
}

export class MovingPods {
  readonly #stage: Stage;
  /** Number of the service. */
  readonly #first: number;
  readonly #ready = Array.from({ length: movingServices }, () => 0);
  #next = 0;

  /** The services from `first` on; they exist. */
  constructor(stage: Stage, first: number) {
    this.#stage = stage;
    this.#first = first;
  }

  /** An address that is served by one of the backends. */
  get address(): string {
    return clusterIpOf(this.#first);
  }

  /** Gives each of the services its backends. */
  async place(): Promise<void> {
    const { writer, backends } = this.#stage;
    for (let i = 0; i < movingServices; i++) await writer.patch(sliceName(this.#first + i), oneReady(backends, 0));
  }

  /** Moves the pod of the next service; resolves when the prober has reached it. */
  async move(prober: Prober): Promise<Move> {
    const { writer, backends } = this.#stage;
    const index = this.#next++ % movingServices;
    const backend = ((this.#ready[index] ?? 0) + 1) % endpointsPerService;
    this.#ready[index] = backend;
    const service = this.#first + index;
    const expected = { address: clusterIpOf(service), port: servicePort, backend, timeoutMs: connectTimeoutMs };
    const [{ beganUs, connects, failed }, returnedUs] = await Promise.all([
      prober.reach(expected),
      writer.patch(sliceName(service), oneReady(backends, backend)),
    ]);
    return { liveMs: Math.max(0, (beganUs - returnedUs) / 1_000), connects, failed };
  }
}
