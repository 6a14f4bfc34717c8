/** Which revisions are traced, and by how many nodes. By the cursor alone: see proto/telemetry/trace-id.ts. Pure. */
import type { Cursor, Revision } from "@weft/proto/cursor.ts";
import type { Amount } from "@weft/proto/program/flags.ts";
import type { TraceContext } from "@weft/proto/telemetry/trace-context.ts";
import { isSampled, million, spanIdOf, traceIdOf } from "@weft/proto/telemetry/trace-id.ts";

export interface TraceChoiceOptions {
  /** Share of the revisions, 0 to 1. */
  readonly ratio: number;
  /** Nodes of each that take part: about as many, or a share. */
  readonly nodes: Amount;
}

/** The span below which everything of a revision is. */
export const rootSpan = "revision";

export class TraceChoice {
  readonly #options: TraceChoiceOptions;
  // The head's. A delta leads to the head, so no other is asked for.
  #head: { readonly revision: Revision; readonly context: TraceContext } | undefined;

  constructor(options: TraceChoiceOptions) {
    this.#options = options;
  }

  /** A revision was committed. @param agents Connected now. @returns Undefined if it is not sampled. */
  choose(cursor: Cursor, agents: number): TraceContext | undefined {
    const { ratio, nodes } = this.#options;
    const traceId = traceIdOf(cursor);
    if (!isSampled(traceId, ratio)) {
      this.#head = undefined;
      return undefined;
    }
    const context = { traceId, spanId: spanIdOf(traceId, rootSpan), nodesPerMillion: perMillion(nodes, agents) };
    this.#head = { revision: cursor.revision, context };
    return context;
  }

  contextOf(revision: Revision): TraceContext | undefined {
    return this.#head?.revision === revision ? this.#head.context : undefined;
  }
}

function perMillion(nodes: Amount, agents: number): number {
  const share = nodes.kind === "percent" ? nodes.percent / 100 : nodes.count / Math.max(1, agents);
  return Math.min(million, Math.max(1, Math.round(share * million)));
}
