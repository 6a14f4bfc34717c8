/** What can go wrong between a reflector and the API server, and how it reads. */
import type { WatchedKind } from "./watched-kind.ts";

export type ApiFailure =
  /** The API server said so, by an HTTP status or by an ERROR event of a watch. */
  | {
      readonly kind: "status";
      readonly code: number;
      /** `Status.reason`; "": not said. */
      readonly reason: string;
      readonly message: string;
      /** Retry-After or `Status.details.retryAfterSeconds`. */
      readonly retryAfterMs: number | undefined;
      /** The resourceVersion that was asked for has not been reached, and may never be. */
      readonly isTooLarge: boolean;
    }
  /** No answer: no connection, no TLS, or it ended before the first byte. */
  | { readonly kind: "unreachable"; readonly code: string; readonly message: string }
  /** The answer broke off. */
  | { readonly kind: "torn"; readonly message: string }
  /** Not one byte for so long. */
  | { readonly kind: "silent"; readonly afterMs: number }
  /** The answer is not what an API server says. */
  | { readonly kind: "malformed"; readonly message: string }
  /** A watch that ended at once and brought nothing. */
  | { readonly kind: "short-watch" }
  /** There are none to ask with: a file cannot be read, a plug-in failed. */
  | { readonly kind: "credentials"; readonly message: string };

/** For the metric: the HTTP status, or the kind of failure. A closed set but for the status. */
export function codeOf(failure: ApiFailure): string {
  return failure.kind === "status" ? String(failure.code) : failure.kind;
}

/** One line with the remedy. Failures of all kinds of objects alike read the same, so that they can be said once. */
export function printFailure(failure: ApiFailure, { resource }: WatchedKind, server: string): string {
  switch (failure.kind) {
    case "status":
      return printStatus(failure, resource, server);
    case "unreachable":
      return `the API server ${server} cannot be reached: ${failure.message}`;
    case "credentials":
      return `credentials for the API server ${server}: ${failure.message}`;
    case "torn":
      return `the answer of the API server ${server} for ${resource} broke off: ${failure.message}`;
    case "silent":
      return `the API server ${server} has said nothing about ${resource} for ${Math.round(failure.afterMs / 1_000)} s`;
    case "malformed":
      return `the answer of ${server} for ${resource} is not that of an API server: ${failure.message}; check that the address is right`;
    case "short-watch":
      return `the API server ${server} ends watches of ${resource} at once`;
  }
}

function printStatus(failure: ApiFailure & { readonly kind: "status" }, resource: string, server: string): string {
  switch (failure.code) {
    case 401:
      return `the API server ${server} refuses the credentials (401): ${failure.message}; renew the token or certificate`;
    case 403:
      return `the API server ${server} forbids ${resource} (403): ${failure.message}; grant get, list and watch on ${resource}, as the ClusterRole in docs/kubernetes.md does`;
    case 404:
      return `the API server ${server} does not serve ${resource} (404); check that the address is that of a Kubernetes API server, 1.21 or newer`;
    case 410:
      return `the history of ${resource} at the API server ${server} is gone (410)`;
    case 429:
      return `the API server ${server} asks to wait (429) for ${resource}: ${failure.message}`;
    default:
      return `the API server ${server} answers ${failure.code} for ${resource}: ${failure.message}`;
  }
}
