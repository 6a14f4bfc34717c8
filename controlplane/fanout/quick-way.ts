/** Carries out the quick transitions of `SteadyStreams`: one clock, no event, no effect in between. False: it must go the way of `step`. */
import type { Revision } from "@weft/proto/cursor.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { FleetObserver } from "../fleet/fleet-observer.ts";
import type { FanoutMetrics } from "./fanout-metrics.ts";
import type { SteadyStreams } from "./steady-streams.ts";
import type { Stream } from "./stream.ts";
import type { World } from "./stream-state.ts";

export interface QuickWayOptions {
  readonly steady: SteadyStreams<Stream>;
  readonly world: World;
  readonly fleet: FleetObserver;
  readonly metrics: FanoutMetrics;
}

export class QuickWay {
  readonly #steady: SteadyStreams<Stream>;
  readonly #world: World;
  readonly #fleet: FleetObserver;
  readonly #metrics: FanoutMetrics;

  constructor({ steady, world, fleet, metrics }: QuickWayOptions) {
    this.#steady = steady;
    this.#world = world;
    this.#fleet = fleet;
    this.#metrics = metrics;
  }

  /** Writes what it lacks of the head, if it can be written. */
  publish(stream: Stream, nowMs: number): boolean {
    const published = this.#steady.published(stream, this.#world, nowMs);
    if (published === undefined) return false;
    if (published.kind === "write") this.write(stream, published.bytes);
    return true;
  }

  write(stream: Stream, bytes: Uint8Array): void {
    this.#metrics.sentMessages.inc();
    this.#metrics.sentBytes.inc(bytes.length);
    stream.port.write(bytes, stream.written);
  }

  /** The outstanding write is on its way; `publish` comes next. */
  written(stream: Stream): boolean {
    return this.#report(stream, this.#steady.written(stream));
  }

  acked(stream: Stream, ack: Ack, nowMs: number): boolean {
    if (ack.addresses !== undefined) return false;
    if (!this.#report(stream, this.#steady.acked(stream, ack, nowMs))) return false;
    this.#fleet.acked(stream.node, ack, undefined, Math.round(nowMs * 1_000));
    return true;
  }

  #report(stream: Stream, reported: Revision | undefined): boolean {
    if (reported === undefined) return false;
    if (reported > 0) this.#fleet.sent(stream.node, reported);
    return true;
  }
}
