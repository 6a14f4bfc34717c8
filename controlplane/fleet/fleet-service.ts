/** `weft.fleet.v1` over grpc-js: reads requests, checks callers, writes what the fleet says. */
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import type { sendUnaryData, Server, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { addressBytes, compareText } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import { unixMs } from "@weft/proto/program/clock.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { NodeAddressesSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import {
  ConfirmRemovalResponseSchema,
  FleetService,
  GetStateResponseSchema,
  WaitOutcome,
} from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { WaitResponseSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type {
  ConfirmRemovalRequest,
  ConfirmRemovalResponse,
  GetStateRequest,
  GetStateResponse,
  GetStatusRequest,
  GetStatusResponse,
  GetTraceRequest,
  GetTraceResponse,
} from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { WaitRequest, WaitResponse, WatchRevisionsRequest } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type {
  WatchRevisionsResponse,
  WatchStatusRequest,
  WatchStatusResponse,
} from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { serviceDefinition } from "@weft/proto/grpc/service.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { mayReadFleet, printIdentity } from "../identity.ts";
import type { Identity } from "../identity.ts";
import { namesMax } from "../mass-removal/mass-removal.ts";
import type { HeldRemoval } from "../mass-removal/mass-removal.ts";
import { encodedStatus, epochMessage, heldRemovalMessage } from "./fleet-status.ts";
import { fleetTrace } from "./fleet-trace.ts";
import type { Fleet } from "./fleet.ts";
import { Outgoing } from "./outgoing.ts";
import type { OutgoingCall } from "./outgoing.ts";
import { RevisionFeed, revisionsPastMax } from "./revision-feed.ts";
import { StatusFeed } from "./status-feed.ts";
import { readWaitRequest } from "./wait-request.ts";
import { waitsMax } from "./waits.ts";
import type { WaitAnswer } from "./waits.ts";

/** Streams of watchers, and of readers of a whole state, at a time. */
const watchersMax = 256;
const stateReadersMax = 8;

/** What one node is given, from the pipeline. */
export interface StateSource {
  nodeView(node: string): NodeView;
  /** Addresses of the node's Node object; undefined: it has none. */
  nodeObjectAddresses(node: string): readonly Address[] | undefined;
  /**
   * The head in parts. Each is an encoded `SyncResponse` with nothing but a delta, which is the encoding of a
   * `GetStateResponse` too: both have it in field 3.
   */
  snapshot(): { readonly to: Revision; readonly parts: Iterable<Uint8Array> };
}

/** What holds mass removals back, from the pipeline. */
export interface RemovalConfirmer {
  /** Confirms what is held back now. `by`: who says so. */
  confirmRemoval(by: string): { readonly removal: HeldRemoval | undefined; readonly nodes: readonly string[] };
}

/** What tells who calls. */
export type Caller = Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext">;

export interface FleetServiceOptions {
  readonly fleet: Fleet;
  readonly state: StateSource;
  readonly removals: RemovalConfirmer;
  /** Undefined: the caller shows no certificate that the client CA signed. */
  readonly identify: (call: Caller) => Identity | undefined;
  readonly log: Log;
  /** Ends all streams. */
  readonly signal: AbortSignal;
}

type Streaming<Request, Response> = ServerWritableStream<Request, Response | Uint8Array>;

export function addFleetService(server: Pick<Server, "addService">, options: FleetServiceOptions): void {
  const shell = new FleetShell(options);
  server.addService(serviceDefinition(FleetService), {
    getStatus: (
      call: ServerUnaryCall<GetStatusRequest, GetStatusResponse>,
      answer: sendUnaryData<GetStatusResponse | Uint8Array>,
    ) => shell.getStatus(call, answer),
    getTrace: (call: ServerUnaryCall<GetTraceRequest, GetTraceResponse>, answer: sendUnaryData<GetTraceResponse>) =>
      shell.getTrace(call, answer),
    watchStatus: (call: Streaming<WatchStatusRequest, WatchStatusResponse>) => shell.watchStatus(call),
    watchRevisions: (call: Streaming<WatchRevisionsRequest, WatchRevisionsResponse>) => shell.watchRevisions(call),
    wait: (call: Streaming<WaitRequest, WaitResponse>) => shell.wait(call),
    getState: (call: Streaming<GetStateRequest, GetStateResponse>) => shell.getState(call),
    confirmRemoval: (
      call: ServerUnaryCall<ConfirmRemovalRequest, ConfirmRemovalResponse>,
      answer: sendUnaryData<ConfirmRemovalResponse>,
    ) => shell.confirmRemoval(call, answer),
  });
}

class FleetShell {
  readonly #options: FleetServiceOptions;
  readonly #feed = new RevisionFeed();
  readonly #statusFeed: StatusFeed;
  readonly #revisionWatchers = new Set<Outgoing<WatchRevisionsResponse>>();
  #watchers = 0;
  #stateReaders = 0;

  constructor(options: FleetServiceOptions) {
    this.#options = options;
    this.#statusFeed = new StatusFeed(options.fleet);
    options.fleet.subscribe((event) => {
      // Acks are not kept: without a watcher, nothing is made of the thousands that follow a commit.
      if (event.kind === "ack" && this.#revisionWatchers.size === 0) return;
      const message = this.#feed.take(event);
      if (message === undefined) return;
      for (const watcher of this.#revisionWatchers) {
        if (!watcher.send(message))
          watcher.fail(status.RESOURCE_EXHAUSTED, "too slow: this reader is more than 1,024 events behind");
      }
    });
  }

  getStatus(
    call: ServerUnaryCall<GetStatusRequest, GetStatusResponse>,
    answer: sendUnaryData<GetStatusResponse | Uint8Array>,
  ): void {
    const refusal = this.#refusal(call);
    if (refusal !== undefined) {
      answer({ code: status.PERMISSION_DENIED, details: refusal });
      return;
    }
    answer(null, encodedStatus(this.#options.fleet, unixMs(), call.request.withoutNodes));
  }

  getTrace(call: ServerUnaryCall<GetTraceRequest, GetTraceResponse>, answer: sendUnaryData<GetTraceResponse>): void {
    const refusal = this.#refusal(call);
    if (refusal !== undefined) {
      answer({ code: status.PERMISSION_DENIED, details: refusal });
      return;
    }
    const answered = fleetTrace(this.#options.fleet, call.request, unixMs());
    if (answered.kind === "trace") answer(null, answered.trace);
    else answer({ code: traceCodes[answered.kind], details: answered.problem });
  }

  confirmRemoval(
    call: ServerUnaryCall<ConfirmRemovalRequest, ConfirmRemovalResponse>,
    answer: sendUnaryData<ConfirmRemovalResponse>,
  ): void {
    const refusal = this.#refusal(call);
    if (refusal !== undefined) {
      answer({ code: status.PERMISSION_DENIED, details: refusal });
      return;
    }
    const identity = this.#options.identify(call);
    const by = identity === undefined ? "" : printIdentity(identity);
    const { removal, nodes } = this.#options.removals.confirmRemoval(`${by}, ${call.getPeer()}`);
    answer(
      null,
      create(ConfirmRemovalResponseSchema, {
        ...(removal === undefined ? {} : { removal: heldRemovalMessage(removal) }),
        nodes: nodes.length,
        nodeNames: nodes.toSorted(compareText).slice(0, namesMax),
      }),
    );
  }

  watchStatus(call: Streaming<WatchStatusRequest, WatchStatusResponse>): void {
    const out = this.#open<WatchStatusResponse>(call);
    if (out !== undefined && this.#countWatcher(out)) this.#statusFeed.add(out);
  }

  watchRevisions(call: Streaming<WatchRevisionsRequest, WatchRevisionsResponse>): void {
    const out = this.#open<WatchRevisionsResponse>(call);
    if (out === undefined) return;
    const { past } = call.request;
    if (past > revisionsPastMax) {
      out.fail(status.INVALID_ARGUMENT, `past: at most ${revisionsPastMax}, not ${past}`);
      return;
    }
    if (!this.#countWatcher(out)) return;
    for (const message of this.#feed.past(past)) out.send(message);
    this.#revisionWatchers.add(out);
    out.closed.addEventListener("abort", () => this.#revisionWatchers.delete(out), { once: true });
  }

  wait(call: Streaming<WaitRequest, WaitResponse>): void {
    const out = this.#open<WaitResponse>(call);
    if (out === undefined) return;
    const { fleet } = this.#options;
    const read = readWaitRequest(call.request, fleet.epoch);
    if (read.kind === "invalid") {
      out.fail(status.INVALID_ARGUMENT, read.problem);
      return;
    }
    const nowMs = unixMs();
    const listener = {
      noted: (note: string): void =>
        void out.send(create(WaitResponseSchema, { event: { case: "note", value: note } })),
      ended: (answer: WaitAnswer): void => {
        out.send(waitResponse(answer));
        out.end();
      },
    };
    const cancel = fleet.wait(
      { target: read.target, quorum: read.quorum, deadlineMs: nowMs + read.timeoutMs, listener },
      nowMs,
    );
    if (cancel === undefined) out.fail(status.RESOURCE_EXHAUSTED, `${waitsMax} waits are open; try again later`);
    else out.closed.addEventListener("abort", cancel, { once: true });
  }

  getState(call: Streaming<GetStateRequest, GetStateResponse>): void {
    const out = this.#open<GetStateResponse>(call);
    if (out === undefined) return;
    const { fleet, log } = this.#options;
    const { node } = call.request;
    if (!fleet.isSynced || fleet.head === 0) {
      out.fail(status.UNAVAILABLE, "the source is not synced yet; try again");
      return;
    }
    const addresses = node === "" ? undefined : this.#addressesOf(node);
    if (node !== "" && addresses === undefined) {
      out.fail(
        status.NOT_FOUND,
        `node ${JSON.stringify(node)}: no Node object has this name, and no agent connected with it`,
      );
      return;
    }
    if (this.#stateReaders >= stateReadersMax) {
      out.fail(status.RESOURCE_EXHAUSTED, `${stateReadersMax} readers of a state are served; try again later`);
      return;
    }
    this.#stateReaders++;
    out.closed.addEventListener("abort", () => void this.#stateReaders--, { once: true });
    this.#sendState(node, addresses, out).catch((error: unknown) => {
      log.error("state not sent", { node, error });
      out.fail(status.INTERNAL, "the state could not be sent; see the log of the control plane");
    });
  }

  async #sendState(
    node: string,
    addresses: NodeAddressesOf | undefined,
    out: Outgoing<GetStateResponse>,
  ): Promise<void> {
    const { fleet, state } = this.#options;
    const { parts } = state.snapshot();
    const first = create(GetStateResponseSchema, {
      epoch: epochMessage(fleet.epoch),
      ...(addresses === undefined
        ? {}
        : { nodeView: state.nodeView(node), addresses: create(NodeAddressesSchema, addresses) }),
    });
    out.send(toBinary(GetStateResponseSchema, first));
    for (const part of parts) {
      await out.drained();
      if (out.closed.aborted) return;
      out.send(part);
    }
    out.end();
  }

  // Undefined: unknown node.
  #addressesOf(name: string): NodeAddressesOf | undefined {
    const { fleet, state } = this.#options;
    const node = fleet.table.get(name);
    const known = state.nodeObjectAddresses(name);
    if (node === undefined && known === undefined && fleet.table.known?.has(name) !== true) return undefined;
    const reported = node?.addresses ?? [];
    const addresses = reported.length > 0 ? reported : (known ?? []);
    const nodePortAddresses = reported.length > 0 ? (node?.nodePortAddresses ?? []) : addresses;
    return {
      addresses: addresses.map(addressBytes),
      nodePortAddresses: nodePortAddresses.map(addressBytes),
      localAddresses: (node?.localAddresses ?? []).map(addressBytes),
      servesLocalClusterIps: node?.servesLocalClusterIps ?? false,
    };
  }

  #refusal(call: Caller): string | undefined {
    const identity = this.#options.identify(call);
    if (identity === undefined) return "the caller shows no certificate; give --tls-cert and --tls-key";
    if (mayReadFleet(identity)) return undefined;
    return `${printIdentity(identity)} may not read the fleet; use a certificate without a node's identity`;
  }

  // Undefined: refused.
  #open<Response>(call: OutgoingCall & Caller): Outgoing<Response> | undefined {
    const out = new Outgoing<Response>(call);
    const refusal = this.#refusal(call);
    if (refusal !== undefined) {
      out.fail(status.PERMISSION_DENIED, refusal);
      return undefined;
    }
    const stop = (): void => out.fail(status.UNAVAILABLE, "the control plane shuts down");
    this.#options.signal.addEventListener("abort", stop, { once: true });
    out.closed.addEventListener("abort", () => this.#options.signal.removeEventListener("abort", stop), { once: true });
    return out;
  }

  #countWatcher<Response>(out: Outgoing<Response>): boolean {
    if (this.#watchers >= watchersMax) {
      out.fail(status.RESOURCE_EXHAUSTED, `${watchersMax} watchers are served; try again later`);
      return false;
    }
    this.#watchers++;
    out.closed.addEventListener("abort", () => void this.#watchers--, { once: true });
    return true;
  }
}

interface NodeAddressesOf {
  readonly addresses: Uint8Array[];
  readonly nodePortAddresses: Uint8Array[];
  readonly localAddresses: Uint8Array[];
  readonly servesLocalClusterIps: boolean;
}

const traceCodes = {
  invalid: status.INVALID_ARGUMENT,
  "not-found": status.NOT_FOUND,
  "other-epoch": status.FAILED_PRECONDITION,
} as const;

const outcomes = {
  done: WaitOutcome.DONE,
  timeout: WaitOutcome.TIMEOUT,
  "epoch-ended": WaitOutcome.EPOCH_ENDED,
} as const;

function waitResponse(answer: WaitAnswer): WaitResponse {
  const missing = answer.missing.map(({ node, applied, reason }) => ({ node, applied: BigInt(applied), reason }));
  const value = {
    outcome: outcomes[answer.outcome],
    have: answer.have,
    need: answer.need,
    missing,
    notes: [...answer.notes],
  };
  return create(WaitResponseSchema, { event: { case: "result", value } });
}
