/** Decides about an agent that introduced itself: may it enter, whom does it replace, does its epoch rename ours. Pure. */
import { compareEpochs, epoch, isSameEpoch, printCursor, printEpoch } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { printIdentity } from "../identity.ts";
import type { Identity } from "../identity.ts";
import type { Hello } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { readHello } from "./hello.ts";
import type { Introduction } from "./hello.ts";
import { refuse } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import type { StreamLimits } from "./stream-limits.ts";

export interface AdmissionRequest {
  readonly introduction: Pick<Introduction, "node" | "instance" | "cursor">;
  readonly identity: Identity;
  /** "ip:port" of the newcomer. */
  readonly peer: string;
  /** The open stream of the same node, if there is one. */
  readonly present: { readonly instance: bigint; readonly peer: string } | undefined;
  readonly epoch: Epoch;
  readonly head: Revision;
  readonly limits: StreamLimits;
  readonly nowMs: number;
}

export type HelloAdmission =
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "admitted"; readonly introduction: Introduction; readonly renameTo: Epoch | undefined };

/** Reads a Hello and decides. `version`: of this program. `presentOf`: as `AdmissionRequest.present`, of the node that it names. */
export function admitHello(
  hello: Hello,
  about: Omit<AdmissionRequest, "introduction" | "present"> & { readonly version: string },
  presentOf: (node: string) => AdmissionRequest["present"],
): HelloAdmission {
  const read = readHello(hello, about.limits, about.version);
  if (read.kind === "refused") return read;
  const { introduction } = read;
  const { identity, peer, epoch: ours, head, limits, nowMs } = about;
  const present = presentOf(introduction.node);
  const admission = admit({ introduction, identity, peer, present, epoch: ours, head, limits, nowMs });
  return admission.kind === "refused" ? admission : { ...admission, introduction };
}

export type Admission =
  | { readonly kind: "refused"; readonly refusal: Refusal }
  /** `renameTo`: the agent has seen a later epoch than ours, and would refuse ours. */
  | { readonly kind: "admitted"; readonly renameTo: Epoch | undefined };

export function admit(request: AdmissionRequest): Admission {
  const { introduction, identity, peer, present, limits } = request;
  const node = introduction.node;
  if (identity.kind === "client" || (identity.kind === "node" && identity.node !== node)) {
    return refused(
      "identity",
      "PERMISSION_DENIED",
      `${peer}: the certificate is of ${printIdentity(identity)}, Hello names node ${node}; ` +
        `issue a certificate with URI SAN weft://node/${node} or CN system:node:${node}`,
    );
  }
  if (present !== undefined && present.instance !== introduction.instance) {
    return refused(
      "instance",
      "ALREADY_EXISTS",
      `node ${node} is already connected from ${present.peer} (instance ${hex(present.instance)}); ${peer} has instance ` +
        `${hex(introduction.instance)}: give each agent its own --node, or stop the other one`,
    );
  }
  const cursor = introduction.cursor;
  if (cursor === undefined) return { kind: "admitted", renameTo: undefined };
  if (isSameEpoch(cursor.epoch, request.epoch) && cursor.revision > request.head) {
    return refused(
      "cursor-of-future",
      "INVALID_ARGUMENT",
      `node ${node} claims ${printCursor(cursor)}, the head is ${request.head}; remove its state folder`,
    );
  }
  if (compareEpochs(cursor.epoch, request.epoch) <= 0) return { kind: "admitted", renameTo: undefined };
  if (cursor.epoch.createdMs > request.nowMs + limits.epochAheadMaxMs) {
    return refused(
      "epoch-ahead",
      "FAILED_PRECONDITION",
      `node ${node} holds epoch ${printEpoch(cursor.epoch)}, more than a day ahead of this control plane's clock ` +
        `(epoch ${printEpoch(request.epoch)}); set the clocks right, or remove the node's state folder`,
    );
  }
  return { kind: "admitted", renameTo: epoch(cursor.epoch.createdMs + 1, request.epoch.random) };
}

function refused(...of: Parameters<typeof refuse>): Admission {
  return { kind: "refused", refusal: refuse(...of) };
}

function hex(instance: bigint): string {
  return instance.toString(16).padStart(16, "0");
}
