/** What the main thread and its workers tell each other. Everything here survives a structured clone; shared buffers are not copied. */
import type { Cursor, Epoch, Revision } from "@weft/proto/cursor.ts";
import type { GrpcListenerOptions } from "@weft/proto/grpc/listener.ts";
import type { LogFields, LogLevel } from "@weft/proto/program/log.ts";
import type { HostPort } from "@weft/proto/program/socket-address.ts";
import type { ServerSecurity } from "@weft/proto/program/tls-flags.ts";
import type { TraceContext } from "@weft/proto/telemetry/trace-context.ts";
import type { CatalogLimits } from "../catalog/catalog-limits.ts";
import type { FanoutLimits } from "../fanout/fanout-limits.ts";
import type { FanoutMetrics } from "../fanout/fanout-metrics.ts";
import type { CreditLimits } from "../fanout/receive-credit.ts";
import type { Refusal } from "../fanout/refusal.ts";
import type { StreamLimits } from "../fanout/stream-limits.ts";
import type { Streams } from "../fanout/streams.ts";
import type { TransferLimits } from "../fanout/transfers.ts";
import type { NodeConnection } from "../fleet/fleet-observer.ts";
import type { Identity } from "../identity.ts";
import type { HistoryKind } from "../log/commit-log.ts";
import type { MassRemovalLimits } from "../mass-removal/mass-removal.ts";
import type { SharedCommit, SharedPlaces } from "./shared-commit.ts";

/** What a listener does otherwise than by default. */
export type ListenerTimes = Pick<GrpcListenerOptions, "limits" | "pollMs">;

/** What a worker is started with. */
export interface WorkerStart {
  /** From 1. */
  readonly worker: number;
  readonly listen: HostPort;
  readonly security: ServerSecurity;
  readonly logLevel: LogLevel;
  readonly version: string;
  readonly epoch: Epoch;
  readonly historyKind: HistoryKind;
  readonly limits: {
    readonly catalog: CatalogLimits;
    readonly stream: StreamLimits;
    readonly fanout: FanoutLimits;
    readonly transfer: TransferLimits;
    readonly massRemoval: MassRemovalLimits;
    /** Default: `creditLimits`. */
    readonly credit: CreditLimits | undefined;
  };
  readonly listener: ListenerTimes | undefined;
  readonly isRemovalConfirmed: boolean;
  /** Of this history, before this worker began. */
  readonly renames: number;
}

export type ToWorker =
  /** `isHead`: not a change of the revision before, but all there is, for a worker that starts late. */
  | {
      readonly kind: "commit";
      readonly commit: SharedCommit;
      readonly isHead: boolean;
      readonly trace: TraceContext | undefined;
    }
  /** The same bytes stand in a newer buffer. */
  | { readonly kind: "moved"; readonly places: SharedPlaces }
  | { readonly kind: "renamed"; readonly epoch: Epoch }
  /** Encoded NodeViews of nodes that this worker serves. */
  | { readonly kind: "views"; readonly views: readonly (readonly [node: string, view: Uint8Array])[] }
  | { readonly kind: "granted"; readonly claim: number; readonly view: Uint8Array; readonly sentBefore: Revision }
  | { readonly kind: "refused"; readonly claim: number; readonly refusal: Refusal }
  | { readonly kind: "later"; readonly claim: number; readonly retryAfterMs: number; readonly message: string }
  /** Another worker is to have the node. `by`: "ip:port" of the newer stream. */
  | { readonly kind: "replace"; readonly node: string; readonly by: string }
  | { readonly kind: "removal"; readonly isConfirmed: boolean }
  | { readonly kind: "call-message"; readonly call: number; readonly bytes: Uint8Array }
  | { readonly kind: "call-end"; readonly call: number }
  | { readonly kind: "call-failed"; readonly call: number; readonly code: number; readonly details: string }
  | { readonly kind: "drain" };

/** An agent asks to enter. */
export interface Claim {
  /** Unique within the worker. */
  readonly claim: number;
  readonly node: string;
  readonly instance: bigint;
  readonly cursor: Cursor | undefined;
  readonly identity: Identity;
  /** "ip:port" */
  readonly peer: string;
}

export type CountName = Exclude<keyof FanoutMetrics, "flushSeconds">;

export type FromWorker =
  | { readonly kind: "listening"; readonly address: string }
  /** It cannot listen. */
  | { readonly kind: "not-listening"; readonly code: string; readonly message: string; readonly remedy: string }
  | { readonly kind: "claim"; readonly claim: Claim }
  /** The stream was over before it was connected. */
  | { readonly kind: "abandoned"; readonly claim: number; readonly node: string }
  | {
      readonly kind: "connected";
      /** Of this connection; unique within the worker. */
      readonly id: number;
      readonly claim: number | undefined;
      readonly connection: Omit<NodeConnection, "versions">;
      /** Encoded. */
      readonly versions: Uint8Array | undefined;
      readonly nowUs: number;
    }
  /** See `SteadyEvents`. */
  | { readonly kind: "steady"; readonly numbers: Float64Array }
  /** One that is not steady. */
  | {
      readonly kind: "acked";
      readonly id: number;
      /** Encoded. */
      readonly ack: Uint8Array;
      readonly roundTripUs: number | undefined;
      readonly nowUs: number;
    }
  | { readonly kind: "held"; readonly id: number; readonly reason: string | undefined; readonly isHeld: boolean }
  | {
      readonly kind: "disconnected";
      readonly id: number;
      readonly instance: bigint;
      readonly reason: string;
      readonly nowUs: number;
    }
  | {
      readonly kind: "flush";
      readonly revision: Revision;
      readonly elapsedMs: number;
      readonly isDone: boolean;
    }
  | { readonly kind: "sizes"; readonly sizes: Streams["sizes"] }
  /** How late its event loop was, at each look. */
  | { readonly kind: "late"; readonly seconds: readonly number[] }
  | {
      readonly kind: "counted";
      readonly counts: readonly (readonly [name: CountName, label: string | undefined, by: number])[];
    }
  | { readonly kind: "log"; readonly level: LogLevel; readonly message: string; readonly fields: LogFields }
  | {
      readonly kind: "call";
      readonly call: number;
      /** Local name, such as `getStatus`. */
      readonly method: string;
      readonly request: Uint8Array;
      /** Undefined: the caller shows no certificate. */
      readonly identity: Identity | undefined;
      readonly peer: string;
    }
  /** The reader has taken so many messages more. */
  | { readonly kind: "call-taken"; readonly call: number; readonly messages: number }
  | { readonly kind: "call-closed"; readonly call: number };

/** What a worker tells in one turn of its event loop, in order. */
export interface WorkerBatch {
  /** How many renames this worker had taken when it wrote this: what it tells of streams is of the epoch before the next one. */
  readonly renames: number;
  readonly events: readonly FromWorker[];
}
