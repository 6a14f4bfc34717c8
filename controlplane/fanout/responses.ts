/** Builds the small messages of a stream. Deltas are not among them: see `delta-bytes.ts`. */
import { create, toBinary } from "@bufbuild/protobuf";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { GoawayReason, LogKind, SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { HistoryKind } from "../log/commit-log.ts";
import type { EndReason } from "./refusal.ts";
import { protocolNumber } from "./stream-limits.ts";
import type { StreamLimits } from "./stream-limits.ts";

export interface WelcomeFacts {
  readonly epoch: Epoch;
  readonly historyKind: HistoryKind;
  readonly limits: StreamLimits;
  readonly version: string;
}

/** What an agent is asked: the sums of all buckets, or the hashes in some. */
export interface Query {
  readonly allBuckets: boolean;
  readonly buckets: readonly number[];
}

/** What one response says besides operations; the fields that are set are sent. */
export interface SmallResponse {
  readonly welcome?: WelcomeFacts | undefined;
  readonly nodeView?: NodeView | undefined;
  readonly synced?: Revision | undefined;
  readonly heartbeat?:
    | {
        readonly sequence: number;
        readonly revision: Revision;
        readonly digest: bigint | undefined;
        readonly isSynced: boolean;
      }
    | undefined;
  readonly digestQuery?: Query | undefined;
}

const logKinds: Record<HistoryKind, LogKind> = { memory: LogKind.MEMORY, redis: LogKind.REDIS };

/** The bytes may be those of others: nobody changes them, nor the view. */
export function encodeSmallResponse(of: SmallResponse): Uint8Array {
  const { welcome, nodeView, synced, heartbeat, digestQuery } = of;
  const isMore = welcome !== undefined || nodeView !== undefined || synced !== undefined || digestQuery !== undefined;
  if (!isMore && heartbeat !== undefined) return encodeHeartbeat(heartbeat);
  const isGreeting = welcome !== undefined && heartbeat === undefined && digestQuery === undefined;
  return isGreeting && nodeView !== undefined ? greet(welcome, nodeView, synced) : encode(of);
}

interface Greeting extends WelcomeFacts {
  readonly synced: Revision | undefined;
  readonly bytes: Uint8Array;
}

// The last one with each view: thousands of agents that come back at once are told the same.
const greetings = new WeakMap<NodeView, Greeting>();

function greet(welcome: WelcomeFacts, nodeView: NodeView, synced: Revision | undefined): Uint8Array {
  const { epoch, historyKind, limits, version } = welcome;
  const known = greetings.get(nodeView);
  const isSame =
    known?.epoch === epoch &&
    known.historyKind === historyKind &&
    known.limits === limits &&
    known.version === version &&
    known.synced === synced;
  if (isSame) return known.bytes;
  const bytes = encode({ welcome, nodeView, synced });
  greetings.set(nodeView, { epoch, historyKind, limits, version, synced, bytes });
  return bytes;
}

function encode({ welcome, nodeView, synced, heartbeat, digestQuery }: SmallResponse): Uint8Array {
  return toBinary(
    SyncResponseSchema,
    create(SyncResponseSchema, {
      ...(welcome && {
        welcome: {
          epoch: { createdMs: BigInt(welcome.epoch.createdMs), random: welcome.epoch.random },
          logKind: logKinds[welcome.historyKind],
          limits: {
            heartbeatMs: welcome.limits.heartbeatMs,
            messageBytesMax: welcome.limits.requestBytesMax,
            failuresMax: welcome.limits.failuresMax,
          },
          protocol: protocolNumber,
          version: welcome.version,
        },
      }),
      ...(nodeView && { nodeView }),
      ...(synced !== undefined && { synced: { revision: BigInt(synced) } }),
      ...(heartbeat && {
        heartbeat: {
          sequence: BigInt(heartbeat.sequence),
          revision: BigInt(heartbeat.revision),
          synced: heartbeat.isSynced,
          ...(heartbeat.digest !== undefined && { digest: heartbeat.digest }),
        },
      }),
      ...(digestQuery && { digestQuery: { allBuckets: digestQuery.allBuckets, buckets: [...digestQuery.buckets] } }),
    }),
  );
}

// By hand: thousands of agents get one every few seconds, and protobuf-es takes 25 us. `responses.test.ts` holds it against that.
function encodeHeartbeat(of: NonNullable<SmallResponse["heartbeat"]>): Uint8Array {
  const bytes = Buffer.allocUnsafe(heartbeatBytesMax);
  let at = 2;
  const number = (field: number, value: number): void => {
    if (value === 0) return;
    bytes[at++] = field << 3;
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) | 0x80;
    bytes[at++] = rest;
  };
  number(1, of.sequence);
  number(2, of.revision);
  if (of.digest !== undefined) {
    bytes[at++] = (3 << 3) | 1;
    at = bytes.writeBigUInt64LE(of.digest, at);
  }
  number(4, of.isSynced ? 1 : 0);
  bytes[0] = (5 << 3) | 2;
  bytes[1] = at - 2;
  return bytes.subarray(0, at);
}

/** Tag and length, two numbers up to 2^53, a digest, a flag. */
const heartbeatBytesMax = 2 + 2 * (1 + 8) + (1 + 8) + (1 + 1);

/** The ends that a Goaway announces. */
export type GoawayWord = Extract<EndReason, "draining" | "replaced" | "silent" | "stalled" | "overloaded" | "flooding">;

const goawayReasons: Record<GoawayWord, GoawayReason> = {
  draining: GoawayReason.DRAINING,
  replaced: GoawayReason.REPLACED,
  silent: GoawayReason.SILENT,
  stalled: GoawayReason.STALLED,
  overloaded: GoawayReason.OVERLOADED,
  flooding: GoawayReason.OVERLOADED,
};

export function encodeGoaway(reason: GoawayWord, message: string, retryAfterMs: number): Uint8Array {
  const goaway = { reason: goawayReasons[reason], message, retryAfterMs };
  return toBinary(SyncResponseSchema, create(SyncResponseSchema, { goaway }));
}
