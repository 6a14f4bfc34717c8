/**
 * The control plane's part of each sampled revision's trace:
 *
 *   revision            first change noticed .. runs on all nodes that were connected
 *     event             noticed .. compiling began
 *     compile
 *     commit            into log and catalog
 *     fan-out           .. the last write is on its way
 *     (node             of each node that takes part: nodeagent/runtime/round-spans.ts)
 *
 * A revision that does not get everywhere ends with that as its problem. Pure: its shell tells the time.
 */
import { printCursor, printEpoch } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import type { Span, SpanSink } from "@weft/proto/telemetry/span.ts";
import { spanIdOf } from "@weft/proto/telemetry/trace-id.ts";
import type { FleetEvent } from "../fleet/fleet-event.ts";
import { rootSpan } from "./trace-choice.ts";

/** Revisions whose spans are not ended; the oldest is given up. */
export const openMax = 256;
/** A revision that does not run everywhere by then is told as it is. */
export const openMsMax = 60_000;

interface Open {
  readonly traceId: string;
  readonly revision: Revision;
  readonly noticedAtUs: number;
  readonly committedAtUs: number;
  readonly connected: number;
  readonly attributes: Record<string, string | number | boolean>;
  isFlushed: boolean;
  isEverywhere: boolean;
}

export class RevisionSpans {
  readonly #sink: SpanSink;
  readonly #source: string;
  #epoch: Epoch;
  // Ascending.
  readonly #open = new Map<Revision, Open>();

  /** @param source Its name. */
  constructor(sink: SpanSink, source: string, epoch: Epoch) {
    this.#sink = sink;
    this.#source = source;
    this.#epoch = epoch;
  }

  take(event: FleetEvent): void {
    switch (event.kind) {
      case "commit":
        return this.#committed(event);
      case "flushed": {
        const open = this.#open.get(event.revision);
        if (open === undefined) return;
        this.#child(open, "fan-out", open.committedAtUs, event.nowUs, "producer");
        open.isFlushed = true;
        this.#endIfDone(open, event.nowUs);
        return;
      }
      case "converged": {
        const { revision, percent, elapsedUs, committedAtUs } = event.converged;
        const open = this.#open.get(revision);
        if (open === undefined) return;
        open.attributes[`weft.converged_${percent}_ms`] = elapsedUs / 1_000;
        open.isEverywhere = percent === 100;
        this.#endIfDone(open, committedAtUs + elapsedUs);
        return;
      }
      case "epoch":
        for (const open of this.#open.values()) this.#end(open, open.committedAtUs, "its epoch ended");
        this.#epoch = event.epoch;
        return;
      default:
    }
  }

  /** Ends what is open for too long. */
  expire(nowUs: number): void {
    for (const open of this.#open.values()) {
      if (nowUs - open.committedAtUs < openMsMax * 1_000) return;
      this.#end(open, nowUs, `does not run on all ${open.connected} nodes`);
    }
  }

  /** Ends everything. */
  close(nowUs: number): void {
    for (const open of this.#open.values()) this.#end(open, nowUs, "the control plane ended");
  }

  #committed({ commit, bytes, services, connected, nowUs, steps }: FleetEvent & { readonly kind: "commit" }): void {
    const { traceId, noticedAtUs, compileStartedAtUs, compiledAtUs } = steps;
    if (traceId === undefined) return;
    const [oldest] = this.#open.values();
    if (oldest !== undefined && this.#open.size >= openMax)
      this.#end(oldest, nowUs, "more revisions came than are traced");
    const open: Open = {
      traceId,
      revision: commit.revision,
      noticedAtUs,
      committedAtUs: nowUs,
      connected,
      attributes: {
        "weft.cursor": printCursor({ epoch: this.#epoch, revision: commit.revision }),
        "weft.epoch": printEpoch(this.#epoch),
        "weft.revision": commit.revision,
        "weft.source": this.#source,
        "weft.puts": commit.puts.length,
        "weft.removals": commit.removals.length,
        "weft.bytes": bytes,
        "weft.services": services.join(","),
        "weft.nodes": connected,
      },
      isFlushed: false,
      isEverywhere: connected === 0,
    };
    this.#open.set(commit.revision, open);
    this.#child(open, "event", noticedAtUs, compileStartedAtUs);
    this.#child(open, "compile", compileStartedAtUs, compiledAtUs);
    this.#child(open, "commit", compiledAtUs, nowUs);
  }

  #endIfDone(open: Open, nowUs: number): void {
    if (open.isFlushed && open.isEverywhere) this.#end(open, nowUs);
  }

  #end(open: Open, endUs: number, problem?: string): void {
    this.#open.delete(open.revision);
    const { traceId, noticedAtUs: startUs, attributes } = open;
    const root: Span = {
      traceId,
      spanId: spanIdOf(traceId, rootSpan),
      parentId: undefined,
      name: rootSpan,
      kind: "internal",
      startUs,
      endUs,
      attributes,
      ...(problem === undefined ? {} : { problem }),
    };
    this.#sink.add([root]);
  }

  #child(open: Open, name: string, startUs: number, endUs: number, kind: Span["kind"] = "internal"): void {
    const { traceId, revision, attributes } = open;
    const span: Span = {
      traceId,
      spanId: spanIdOf(traceId, name),
      parentId: spanIdOf(traceId, rootSpan),
      name,
      kind,
      startUs,
      endUs,
      attributes: { "weft.cursor": attributes["weft.cursor"] ?? "", "weft.revision": revision },
    };
    this.#sink.add([span]);
  }
}
