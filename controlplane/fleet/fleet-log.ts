/** Says what happens to the fleet: every revision, its convergence, nodes that come, go or fail. Bounded in lines per second. */
import type { Log, LogFields } from "@weft/proto/program/log.ts";
import { printEpoch } from "@weft/proto/cursor.ts";
import type { FleetEvent } from "./fleet-event.ts";
import type { Fleet } from "./fleet.ts";

/** Lines of one kind in a second; the rest are counted, and go to the level debug. */
const linesPerSecondMax = 10;

export function logFleet(fleet: Fleet, log: Log): void {
  const limits = new Map<FleetEvent["kind"], LineLimit>();
  const say = (event: FleetEvent, nowUs: number, message: string, fields: LogFields): void => {
    let limit = limits.get(event.kind);
    if (limit === undefined) limits.set(event.kind, (limit = new LineLimit()));
    const skipped = limit.take(nowUs);
    if (skipped === undefined) log.debug(message, fields);
    else log.info(message, skipped === 0 ? fields : { ...fields, skipped });
  };
  fleet.subscribe((event) => {
    switch (event.kind) {
      case "commit": {
        const { commit, bytes, services, nowUs } = event;
        const { revision, puts, removals } = commit;
        say(event, nowUs, "revision", {
          revision,
          puts: puts.length,
          removals: removals.length,
          bytes,
          services: services.join(","),
        });
        return;
      }
      case "converged": {
        const { revision, percent, nodes, elapsedUs, committedAtUs } = event.converged;
        if (percent < 100) return;
        say(event, committedAtUs + elapsedUs, "revision runs on all nodes", {
          revision,
          nodes,
          elapsedMs: elapsedUs / 1_000,
        });
        return;
      }
      case "connected": {
        const { node, nowUs } = event;
        const peer = node.stream.kind === "open" ? node.stream.peer : "";
        const { agent, kernel, dataplane } = node.versions ?? {};
        say(event, nowUs, "node connected", { node: node.name, peer, agent, kernel, dataplane });
        return;
      }
      case "disconnected":
        say(event, event.nowUs, "node disconnected", { node: event.node.name, reason: event.reason });
        return;
      case "epoch":
        log.info("epoch", { epoch: printEpoch(event.epoch) });
        return;
      case "ack": {
        const { node, isNew, nowUs } = event;
        const [failure] = node.failures;
        if (!isNew || failure === undefined) return;
        const { service, reason } = failure;
        say(event, nowUs, "node reports failures", { node: node.name, failures: node.failuresTotal, service, reason });
        return;
      }
      case "asked":
      case "answered":
      case "flushed":
      case "status":
    }
  });
}

class LineLimit {
  #second = 0;
  #lines = 0;
  #skipped = 0;

  /** How many lines were skipped since the last one; undefined: skip this one. */
  take(nowUs: number): number | undefined {
    const second = Math.floor(nowUs / 1e6);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
    }
    if (this.#lines >= linesPerSecondMax) {
      this.#skipped++;
      return undefined;
    }
    this.#lines++;
    const skipped = this.#skipped;
    this.#skipped = 0;
    return skipped;
  }
}
