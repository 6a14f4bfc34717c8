/**
 * What the fleet is told, by the pipeline (commits, nodes) and by the fan-out (streams, acks). Times are parameters: unix
 * microseconds for moments that are compared with commits.
 */
import type { Address } from "@weft/proto/address.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import type { Ack, Versions } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Commit } from "../catalog/resource.ts";
import type { HeldRemoval } from "../mass-removal/mass-removal.ts";

export interface NodeConnection {
  readonly node: string;
  readonly instance: bigint;
  /** "ip:port" of the other end. */
  readonly peer: string;
  readonly versions: Versions | undefined;
  /** First per family is primary. */
  readonly addresses: readonly Address[];
  /** The ones on which NodePorts are served. */
  readonly nodePortAddresses: readonly Address[];
  readonly localAddresses: readonly Address[];
  readonly servesLocalClusterIps: boolean;
  /** What it holds of the current epoch; 0: nothing. */
  readonly applied: Revision;
}

/** How a commit came to be; unix microseconds. */
export interface CommitSteps {
  /** When the first of its changes was noticed. */
  readonly noticedAtUs: number;
  readonly compileStartedAtUs: number;
  /** The end of compiling; the beginning of committing. */
  readonly compiledAtUs: number;
  /** 32 hex digits; undefined: this revision is not sampled. */
  readonly traceId: string | undefined;
}

/** A node that connected: its name, or what `connected` answered, which spares thousands of searches by name. */
export type NodeRef = string | { readonly name: string };

export function nameOf(node: NodeRef): string {
  return typeof node === "string" ? node : node.name;
}

export interface FleetObserver {
  /** A history began or was renamed: every cursor of an earlier one is void, and waits on it end. */
  epochStarted(epoch: Epoch): void;
  /** Names of all Node objects of the source; undefined: the source has none. */
  nodesKnown(names: ReadonlySet<string> | undefined): void;
  synced(): void;
  /** `bytes`: size of the delta from the revision before, HTTP/2 framing excluded. */
  committed(commit: Commit, bytes: number, nowUs: number, steps: CommitSteps): void;
  /** The last write of this revision to a stream that could be written is on its way. */
  flushed(revision: Revision, nowUs: number): void;
  connected(connection: NodeConnection, nowUs: number): NodeRef;
  /** The delta to `revision` was handed to the socket. */
  sent(node: NodeRef, revision: Revision): void;
  /** `roundTripUs`: undefined unless this ack answers a heartbeat. */
  acked(node: NodeRef, ack: Ack, roundTripUs: number | undefined, nowUs: number): void;
  /**
   * `reason`: why this node is given no state (`mass_removal_held`); undefined: it is given state, or says itself why it takes none.
   * `isHeld`: one of the two keeps it from state.
   */
  held(node: NodeRef, reason: string | undefined, isHeld: boolean): void;
  /** What the source lacks and is still served; undefined: nothing is held back. */
  removalHeld(removal: HeldRemoval | undefined): void;
  /** `reason`: closed words such as "silent", "replaced", "closed", "stalled", or an error's message. */
  disconnected(node: NodeRef, instance: bigint, reason: string, nowUs: number): void;
}
