/**
 * One stream per node over all workers: before the fan-out sees a Hello the main thread is asked. What else an agent sends
 * meanwhile waits.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { revisionZero } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { admitHello } from "../fanout/admission.ts";
import type { Fanout } from "../fanout/fanout.ts";
import type { AgentRequest } from "../fanout/reported-digests.ts";
import type { StreamLimits } from "../fanout/stream-limits.ts";
import type { StreamInput, StreamPort } from "../fanout/stream-port.ts";
import type { OutboxFleet } from "./outbox-fleet.ts";
import type { Outbox } from "./outbox.ts";
import type { ToWorker } from "./worker-messages.ts";

/** Messages of an agent that wait for an answer about its Hello; an honest one sends an ack or two. */
const waitingMax = 32;

export interface ClaimingOptions {
  readonly fanout: Fanout;
  readonly fleet: OutboxFleet;
  readonly outbox: Outbox;
  readonly limits: StreamLimits;
  readonly version: string;
  readonly epoch: () => Epoch;
  readonly now: () => number;
}

interface Waiting {
  readonly node: string;
  readonly input: StreamInput;
  readonly requests: AgentRequest[];
  isOver: boolean;
}

type Answer = Extract<ToWorker, { kind: "granted" | "refused" | "later" }>;

/** What the main thread has said of the nodes that this worker serves. */
export class NodeGrants {
  readonly #nodes = new Map<string, { view: NodeView; sentBefore: Revision }>();

  viewOf(node: string): NodeView {
    const grant = this.#nodes.get(node);
    if (grant === undefined) throw new Error(`node ${node} is served without a grant`);
    return grant.view;
  }

  sentBefore(node: string): Revision {
    return this.#nodes.get(node)?.sentBefore ?? revisionZero;
  }

  granted(node: string, view: Uint8Array, sentBefore: Revision): void {
    this.#nodes.set(node, { view: fromBinary(NodeViewSchema, view), sentBefore });
  }

  /** @returns The nodes that this worker knows. */
  viewsChanged(views: Extract<ToWorker, { kind: "views" }>["views"]): ReadonlySet<string> {
    const known = new Set<string>();
    for (const [node, view] of views) {
      const grant = this.#nodes.get(node);
      if (grant === undefined) continue;
      grant.view = fromBinary(NodeViewSchema, view);
      known.add(node);
    }
    return known;
  }

  /** Forgets all others. A grant is used in the turn in which it comes. */
  keep(served: Pick<ReadonlySet<string>, "has" | "size">): void {
    if (this.#nodes.size === served.size) return;
    for (const node of this.#nodes.keys()) if (!served.has(node)) this.#nodes.delete(node);
  }
}

export class ClaimingStreams implements Pick<Fanout, "open" | "throttled"> {
  readonly #options: ClaimingOptions;
  readonly #grants: NodeGrants;
  readonly #waiting = new Map<number, Waiting>();
  #claims = 0;

  constructor(options: ClaimingOptions, grants: NodeGrants) {
    this.#options = options;
    this.#grants = grants;
  }

  throttled(): void {
    this.#options.fanout.throttled();
  }

  open(port: StreamPort): StreamInput {
    const input = this.#options.fanout.open(port);
    let waiting: Waiting | undefined;
    let hasAsked = false;
    return {
      refuse: (refusal) => input.refuse(refusal),
      leave: (reason, message, retryAfterMs) => input.leave(reason, message, retryAfterMs),
      receive: (request) => {
        if (waiting !== undefined && !waiting.isOver) {
          if (waiting.requests.length >= waitingMax) input.leave("flooding", "too many messages before an answer");
          else waiting.requests.push(request);
          return;
        }
        if (!hasAsked && request.message.case === "hello") {
          hasAsked = true;
          waiting = this.#ask(port, input, request);
          if (waiting !== undefined) return;
        }
        input.receive(request);
      },
      closed: (reason) => {
        if (waiting !== undefined) waiting.isOver = true;
        input.closed(reason);
      },
    };
  }

  answered(answer: Answer): void {
    const waiting = this.#waiting.get(answer.claim);
    this.#waiting.delete(answer.claim);
    if (waiting === undefined) return;
    const { node, input, requests, isOver } = waiting;
    const { fleet, outbox } = this.#options;
    waiting.isOver = true;
    if (answer.kind === "granted") {
      const before = fleet.connections;
      this.#grants.granted(node, answer.view, answer.sentBefore);
      fleet.granted(answer.claim, () => {
        if (!isOver) for (const request of requests) input.receive(request);
      });
      if (fleet.connections === before) outbox.put({ kind: "abandoned", claim: answer.claim, node });
    } else if (!isOver && answer.kind === "refused") {
      input.refuse(answer.refusal);
    } else if (!isOver && answer.kind === "later") {
      input.leave("overloaded", answer.message, answer.retryAfterMs);
    }
  }

  // Undefined: the fan-out refuses it in any case, and the main thread is not asked.
  #ask({ identity, peer }: StreamPort, input: StreamInput, request: AgentRequest): Waiting | undefined {
    const { limits, version, epoch, now, outbox } = this.#options;
    if (request.message.case !== "hello") return undefined;
    // This worker may not have yet what another one has sent.
    const head = Number.MAX_SAFE_INTEGER as Revision;
    const about = { identity, peer, epoch: epoch(), head, limits, version, nowMs: now() };
    const admission = admitHello(request.message.value, about, () => undefined);
    if (admission.kind === "refused") return undefined;
    const claim = ++this.#claims;
    const { node, instance, cursor } = admission.introduction;
    const waiting = { node, input, requests: [request], isOver: false };
    this.#waiting.set(claim, waiting);
    outbox.put({ kind: "claim", claim: { claim, node, instance, cursor, identity, peer } });
    return waiting;
  }
}
