/** What the fleet tells its shells as it happens. */
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Commit } from "../catalog/resource.ts";
import type { Converged } from "./convergence.ts";
import type { FleetNode } from "./fleet-node.ts";
import type { CommitSteps } from "./fleet-observer.ts";
import type { WaitAnswer } from "./waits.ts";

export type FleetEvent =
  /** `bytes`: size of its delta. `services`: names of services touched, sorted, at most 16. `connected`: nodes. */
  | {
      readonly kind: "commit";
      readonly commit: Commit;
      readonly bytes: number;
      readonly services: readonly string[];
      readonly connected: number;
      readonly nowUs: number;
      readonly steps: CommitSteps;
    }
  /** The last write of this revision to a stream that could be written is on its way. */
  | { readonly kind: "flushed"; readonly revision: Revision; readonly nowUs: number }
  /** `isNew`: it says more than that the node is alive. `commitToAckUs`: undefined unless it acks a revision it had not. */
  | {
      readonly kind: "ack";
      readonly node: FleetNode;
      readonly ack: Ack;
      readonly isNew: boolean;
      readonly commitToAckUs: number | undefined;
      readonly nowUs: number;
    }
  | { readonly kind: "converged"; readonly converged: Converged }
  | { readonly kind: "epoch"; readonly epoch: Epoch }
  /** Something else that the status shows, or that waits look at, changed. */
  | { readonly kind: "status" }
  | { readonly kind: "connected"; readonly node: FleetNode; readonly nowUs: number }
  | { readonly kind: "disconnected"; readonly node: FleetNode; readonly reason: string; readonly nowUs: number }
  /** A wait began. */
  | { readonly kind: "asked" }
  /** A wait ended with an answer. */
  | { readonly kind: "answered"; readonly outcome: WaitAnswer["outcome"] };
