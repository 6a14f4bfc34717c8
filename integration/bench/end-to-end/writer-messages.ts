/** What the bench tells the program that writes to the API (api-writer.ts), and what it answers: one line of JSON each. */
import type { ApiObject, ObjectName } from "../../kube/api-client.ts";

export type WriterCommand = { readonly id: number } & (
  | { readonly kind: "create"; readonly objects: readonly ApiObject[] }
  /** Services of this many endpoints each, with their slices and namespaces. */
  | { readonly kind: "services"; readonly first: number; readonly last: number; readonly endpoints: number }
  | { readonly kind: "patch"; readonly name: ObjectName; readonly patch: unknown }
  /** Watches the object as kube-proxy would, and counts bytes, until so many events have come; answers once the watch stands. */
  | { readonly kind: "watch"; readonly name: ObjectName; readonly events: number }
  /** The end of the watch that was begun last. */
  | { readonly kind: "watched" }
  | { readonly kind: "get"; readonly url: string }
);

export type WriterMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "progress"; readonly text: string }
  | { readonly kind: "failed"; readonly id: number; readonly message: string }
  | { readonly kind: "done"; readonly id: number; readonly result: WriterResult };

export interface WriterResult {
  /** Of a write: when its answer was there; CLOCK_MONOTONIC, microseconds. */
  readonly returnedUs?: number;
  /** Of a watch. */
  readonly bytes?: number;
  /** Of a get; 2xx only. */
  readonly text?: string;
}
