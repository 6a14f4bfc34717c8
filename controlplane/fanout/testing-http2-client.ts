/** For tests: an HTTP/2 client that keeps no rules, in frames of its own making (RFC 9113; headers by RFC 7541, never indexed). */
import { connect } from "node:net";
import type { Socket } from "node:net";

export const frameTypes = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export type FrameType = keyof typeof frameTypes;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const syncPath = "/weft.discovery.v1.DiscoveryService/Sync";
const endHeaders = 4;

export class RawClient {
  readonly frames: Frame[] = [];
  /** Resolves when the other end has closed the connection, or broke it. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #unread = Buffer.alloc(0);

  constructor(address: string) {
    const [host = "", port = ""] = address.split(":");
    this.#socket = connect({ host, port: Number(port), noDelay: true });
    this.#socket.on("error", () => undefined);
    this.#socket.on("data", (bytes: Buffer) => this.#read(bytes));
    this.closed = new Promise((resolve) => this.#socket.once("close", () => resolve()));
  }

  get isClosed(): boolean {
    return this.#socket.closed;
  }

  /** Any bytes. */
  send(bytes: Uint8Array | string): this {
    this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    return this;
  }

  /** The preface and empty settings. */
  start(): this {
    return this.send(preface).frame("settings", 0, 0);
  }

  frame(type: FrameType, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): this {
    return this.send(frame(type, flags, stream, payload));
  }

  /** Opens a Sync call. @param stream Odd. @param more Headers beside those of gRPC. */
  sync(stream: number, more: Readonly<Record<string, string>> = {}): this {
    return this.frame("headers", endHeaders, stream, headerBlock(more));
  }

  /** A message of the call, in DATA frames as large as may be. */
  message(stream: number, bytes: Uint8Array, isCompressed = false): this {
    return this.data(stream, grpcFrame(bytes, isCompressed));
  }

  data(stream: number, bytes: Uint8Array): this {
    for (let at = 0; at < bytes.length; at += 16_384) this.frame("data", 0, stream, bytes.subarray(at, at + 16_384));
    return this;
  }

  /** Reads nothing from now on: what the other end sends stays in the buffers of the kernel. */
  stall(): this {
    this.#socket.pause();
    return this;
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    let unread = Buffer.concat([this.#unread, bytes]);
    while (unread.length >= 9) {
      const length = unread.readUIntBE(0, 3);
      if (unread.length < 9 + length) break;
      const [type, flags, stream] = [unread.readUInt8(3), unread.readUInt8(4), unread.readUInt32BE(5) & 0x7fff_ffff];
      this.frames.push({ type, flags, stream, payload: unread.subarray(9, 9 + length) });
      unread = unread.subarray(9 + length);
    }
    this.#unread = unread;
  }
}

export function frame(type: FrameType, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(frameTypes[type], 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A message as gRPC frames it. */
export function grpcFrame(bytes: Uint8Array, isCompressed = false, length = bytes.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(isCompressed ? 1 : 0, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}

/** What `sync` sends. */
export function headerBlock(more: Readonly<Record<string, string>>): Buffer {
  const headers = {
    ":method": "POST",
    ":scheme": "http",
    ":path": syncPath,
    ":authority": "weft",
    "content-type": "application/grpc",
    te: "trailers",
    ...more,
  };
  return Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

function text(of: string): Buffer {
  const bytes = Buffer.from(of, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}
