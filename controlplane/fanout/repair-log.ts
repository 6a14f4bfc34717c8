/**
 * What repairs and snapshots tell people and metrics. One agent that diverged is named with what differed; a fleet that comes back
 * after a restart is a debug line for each agent, and numbers.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { printUnknown, resourceNamesMax, printResource, printSome } from "@weft/proto/printed-resource.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Differences } from "./comparison.ts";
import type { FanoutMetrics } from "./fanout-metrics.ts";
import type { Note } from "./stream-state.ts";

/** Lines about mismatches in one interval; the rest is counted. */
const linesMax = 10;
const intervalMs = 60_000;

export class RepairLog {
  readonly #log: Log;
  readonly #metrics: FanoutMetrics;
  readonly #catalog: Catalog;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #leftOut = 0;

  constructor(log: Log, metrics: FanoutMetrics, catalog: Catalog) {
    this.#log = log;
    this.#metrics = metrics;
    this.#catalog = catalog;
  }

  noted(node: string, note: Note, nowMs: number): void {
    const metrics = this.#metrics;
    switch (note.kind) {
      case "mismatch":
        metrics.mismatches.inc();
        if (note.answer === "repair") return;
        this.#say(
          nowMs,
          `what node ${node} holds is still not revision ${note.revision} after a repair: ${remedies[note.answer]}`,
          {
            node,
          },
        );
        return;
      case "mended":
        this.#log.info(`what node ${node} holds is revision ${note.revision} again`, { node });
        return;
      case "snapshot":
        metrics.snapshots.inc();
        if (note.instead !== undefined) metrics.snapshotsInstead.with(note.instead).inc();
        return;
      case "repair": {
        const { differences, transfer, isMismatch } = note;
        const { puts, removed } = differences;
        metrics.repairs.inc();
        metrics.repairedResources.inc(puts.length + removed.length);
        const count = puts.length + removed.length;
        if (isMismatch) {
          const what = printSome(this.#names(differences), count);
          this.#say(nowMs, `what node ${node} holds is not revision ${transfer.to}: repaired: ${what}`, { node });
          return;
        }
        const bytes = transfer.bytes;
        this.#log.debug("an agent is repaired", { node, revision: transfer.to, resources: count, bytes });
      }
    }
  }

  #say(nowMs: number, message: string, fields: { readonly node: string }): void {
    if (nowMs - this.#sinceMs >= intervalMs) {
      this.#sinceMs = nowMs;
      this.#lines = 0;
    }
    if (this.#lines >= linesMax) {
      this.#leftOut++;
      return;
    }
    this.#lines++;
    this.#log.error(message, { ...fields, leftOut: this.#leftOut === 0 ? undefined : this.#leftOut });
    this.#leftOut = 0;
  }

  *#names({ puts, removed }: Differences): Generator<string> {
    for (const { bytes } of puts.slice(0, resourceNamesMax)) yield printResource(bytes, (id) => this.#serviceName(id));
    for (const id of removed.slice(0, resourceNamesMax)) yield printUnknown(id);
  }

  #serviceName(id: ResourceId): string | undefined {
    const service = this.#catalog.get(id);
    if (service === undefined) return undefined;
    const { kind } = fromBinary(ResourceSchema, service.bytes);
    return kind.case === "service" ? kind.value.name : undefined;
  }
}

const remedies = {
  snapshot: "it is sent everything; look at the memory of that machine if this comes again",
  none: "it reads or hashes what it is sent otherwise than this control plane; upgrade the agent, or look at the memory of that machine",
} as const;
