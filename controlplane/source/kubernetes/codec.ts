/** The port of encodings: from the bytes of the API server's answers to projected objects. What is parsed is dropped at once. */
import type { ApiFailure } from "./api-failure.ts";
import type { ListedObject } from "./held-objects.ts";
import type { WatchedKind } from "./watched-kind.ts";

export type WatchMessage =
  | { readonly kind: "put"; readonly version: string; readonly object: ListedObject }
  | { readonly kind: "remove"; readonly version: string; readonly name: string }
  | { readonly kind: "bookmark"; readonly version: string; readonly isInitialEnd: boolean }
  | { readonly kind: "error"; readonly failure: ApiFailure };

export interface ListPage {
  readonly version: string;
  /** "": the last page. */
  readonly continueToken: string;
  readonly objects: readonly ListedObject[];
}

/** Reads one watch; it keeps what is not complete. */
export interface WatchReader {
  /** @throws CodecError */
  push(chunk: Uint8Array): Iterable<WatchMessage>;
  /** True if the bytes so far end within a message. */
  readonly isWithin: boolean;
}

export interface Codec {
  /** Values of the Accept header. */
  acceptWatch(kind: WatchedKind): string;
  acceptList(kind: WatchedKind): string;
  watchReader(kind: WatchedKind): WatchReader;
  /** @throws CodecError */
  page(kind: WatchedKind, body: Uint8Array): ListPage;
}

/** The bytes are not what an API server sends. */
export class CodecError extends Error {}
