/** What a connection is told by whoever opens it. */
import type { Socket } from "node:net";
import type { CallInput, Http2Call } from "./call.ts";
import type { Connection } from "./connection.ts";
import type { Header } from "./header-decoder.ts";
import type { Http2Bounds } from "./http2-bounds.ts";

export interface ConnectionOptions {
  readonly bounds: Http2Bounds;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Whether a call with these headers is served here. */
  readonly serves: (headers: readonly Header[]) => boolean;
  /** Largest message of a call, until it says otherwise. */
  readonly messageBytesMax: number;
  readonly open: (call: Http2Call, socket: Socket) => CallInput;
  /** The client broke the rules of HTTP/2, or a bound, on a connection that has no call now; it is ended. */
  readonly refused: (socket: Socket, details: string) => void;
  /** The connection is lost, or was passed on. */
  readonly left: (connection: Connection) => void;
}
