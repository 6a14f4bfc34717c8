/** The status of the fleet for those who watch it: encoded once for all, at most 5 times a second, and only when it changed. */
import { unixMs } from "@weft/proto/program/clock.ts";
import type { WatchStatusResponse } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { encodedStatus } from "./fleet-status.ts";
import type { Fleet } from "./fleet.ts";
import type { Outgoing } from "./outgoing.ts";

const intervalMs = 200;

export class StatusFeed {
  readonly #fleet: Fleet;
  readonly #watchers = new Map<Outgoing<WatchStatusResponse>, { version: number }>();
  #version = 1;
  #encoded: { readonly version: number; readonly bytes: Uint8Array } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    fleet.subscribe((event) => {
      // Round-trips and times of heartbeats travel with the next change.
      if (event.kind === "asked" || event.kind === "answered") return;
      if (event.kind === "converged" || event.kind === "flushed") return;
      if (event.kind === "ack" && !event.isNew) return;
      this.#version++;
      this.#schedule();
    });
  }

  add(watcher: Outgoing<WatchStatusResponse>): void {
    const sent = { version: this.#version };
    this.#watchers.set(watcher, sent);
    watcher.closed.addEventListener("abort", () => this.#watchers.delete(watcher), { once: true });
    watcher.send(this.#bytes());
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#watchers.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      for (const [watcher, sent] of this.#watchers) {
        // A slow reader skips: it gets the newest once it has read.
        if (sent.version === this.#version || !watcher.isWritable) continue;
        watcher.send(this.#bytes());
        sent.version = this.#version;
      }
      if (this.#watchers.values().some((sent) => sent.version !== this.#version)) this.#schedule();
    }, intervalMs);
    this.#timer.unref();
  }

  #bytes(): Uint8Array {
    if (this.#encoded?.version !== this.#version) {
      this.#encoded = { version: this.#version, bytes: encodedStatus(this.#fleet, unixMs()) };
    }
    return this.#encoded.bytes;
  }
}
