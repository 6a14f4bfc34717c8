/** Messages that an agent sends, from the agent's own values. Pure. */
import { create } from "@bufbuild/protobuf";
import { addressBytes, compareText } from "@weft/proto/address.ts";
import type { Cursor, Revision } from "@weft/proto/cursor.ts";
import { digestBuckets } from "@weft/proto/digest.ts";
import {
  AckSchema,
  CountsSchema,
  DigestsSchema,
  HelloSchema,
  NodeAddressesSchema,
  SyncRequestSchema,
} from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Counts, NodeAddresses, SyncRequest } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeAddressing } from "../plan/node-addressing.ts";
import type { Store, StoreCounts } from "../sync/store.ts";
import { protocolNumber } from "../sync/sync-step.ts";
import { wireCategory } from "./failures.ts";
import type { NodeFailure } from "./failures.ts";

export interface HelloFacts {
  readonly node: string;
  readonly instance: bigint;
  /** What the store holds, unless the kernel could not be given it. */
  readonly cursor: Cursor | undefined;
  readonly digest: bigint;
  readonly counts: StoreCounts;
  readonly addressing: NodeAddressing;
  readonly versions: { readonly agent: string; readonly kernel: string; readonly dataplane: string };
}

export function helloMessage(facts: HelloFacts): SyncRequest {
  const { node, instance, cursor, digest, counts, addressing, versions } = facts;
  const hello = create(HelloSchema, {
    node,
    instance,
    digest,
    counts: wireCounts(counts),
    addresses: wireAddresses(addressing),
    versions,
    protocol: protocolNumber,
  });
  if (cursor !== undefined) {
    const { epoch, revision } = cursor;
    hello.cursor = {
      $typeName: "weft.discovery.v1.Cursor",
      revision: BigInt(revision),
      epoch: { $typeName: "weft.discovery.v1.Epoch", createdMs: BigInt(epoch.createdMs), random: epoch.random },
    };
  }
  return create(SyncRequestSchema, { message: { case: "hello", value: hello } });
}

export interface StepDurations {
  readonly receivedToActiveUs: number;
  readonly planUs: number;
  readonly stageUs: number;
  readonly persistUs: number;
}

export interface AckFacts {
  /** 0: nothing of this stream's epoch is active. */
  readonly revision: Revision;
  readonly digest: bigint;
  /** Unix microseconds; 0: nothing was activated by this process. */
  readonly appliedAtUs: number;
  readonly durations: StepDurations;
  readonly failures: readonly NodeFailure[];
  /** 0n: none. */
  readonly heartbeat: bigint;
  /** Undefined: as last told. */
  readonly addressing: NodeAddressing | undefined;
  readonly counts: StoreCounts;
}

/** @param failuresMax Most failures in one ack, of `Welcome`. */
export function ackMessage(facts: AckFacts, failuresMax: number): SyncRequest {
  const { durations, failures } = facts;
  const ack = create(AckSchema, {
    revision: BigInt(facts.revision),
    appliedAtUs: BigInt(Math.round(facts.appliedAtUs)),
    durations: {
      receivedToActiveUs: clampU32(durations.receivedToActiveUs),
      planUs: clampU32(durations.planUs),
      stageUs: clampU32(durations.stageUs),
      persistUs: clampU32(durations.persistUs),
    },
    failures: failures.slice(0, failuresMax).map(({ service, category, reason }) => ({
      service,
      category: wireCategory[category],
      reason: reason.slice(0, reasonCharactersMax),
    })),
    failuresTotal: failures.length,
    digest: facts.digest,
    heartbeat: facts.heartbeat,
    counts: wireCounts(facts.counts),
  });
  if (facts.addressing !== undefined) ack.addresses = wireAddresses(facts.addressing);
  return create(SyncRequestSchema, { message: { case: "ack", value: ack } });
}

/** Keeps an ack of 1,000 failures below 1 MiB. */
export const reasonCharactersMax = 512;
/** Hashes in one message: 20 bytes each. */
export const hashesPerMessage = 20_000;
const hashBytes = 20;
const digestsHeaderBytes = 64;

/**
 * An answer in which sums are of what is held now.
 * @param revision At which the digests are taken; 0: of another epoch. @param messageBytesMax Of `Welcome`.
 */
export function digestsMessages(
  store: Store,
  revision: Revision,
  query: { readonly allBuckets: boolean; readonly buckets: readonly number[] },
  messageBytesMax: number,
): SyncRequest[] {
  if (query.allBuckets) store.recount();
  const sumsBytes = query.allBuckets ? digestBuckets * 8 : 0;
  const room = Math.floor((messageBytesMax - digestsHeaderBytes - sumsBytes) / hashBytes);
  const perMessage = Math.min(hashesPerMessage, Math.max(1, room));
  const hashes = store.hashesIn(query.buckets);
  const messages: SyncRequest[] = [];
  for (let at = 0; at === 0 || at < hashes.length; at += perMessage) {
    const value = create(DigestsSchema, {
      revision: BigInt(revision),
      buckets: at === 0 && query.allBuckets ? store.bucketSums() : [],
      resources: hashes.slice(at, at + perMessage),
      last: at + perMessage >= hashes.length,
    });
    messages.push(create(SyncRequestSchema, { message: { case: "digests", value } }));
  }
  return messages;
}

function wireCounts(counts: StoreCounts): Counts {
  return create(CountsSchema, { services: counts.services, backends: counts.backends });
}

/** A control plane refuses more; they only tell others what this node knows. */
const localAddressesMax = 256;

function wireAddresses(of: NodeAddressing): NodeAddresses {
  return create(NodeAddressesSchema, {
    addresses: of.addresses.map(addressBytes),
    nodePortAddresses: of.nodePortAddresses.map(addressBytes),
    localAddresses: [...of.localAddresses].toSorted(compareText).slice(0, localAddressesMax).map(addressBytes),
    servesLocalClusterIps: of.localClusterIps === "serve",
  });
}

function clampU32(us: number): number {
  return Math.min(0xffff_ffff, Math.max(0, Math.round(us)));
}
