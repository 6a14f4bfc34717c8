/**
 * Serves the calls of agents on sockets that a listener accepted, and passes on connections that begin with any other call. Why
 * not grpc-js, which serves those: with it a broadcast takes 1.7 times as long as over bare node:http2, and a storm of reconnects
 * 2.4 times. `npm run bench -- fan-out fleet` tells what it is here.
 */
import type { Socket } from "node:net";
import type { ConnectionFront } from "@weft/proto/grpc/listener.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import { http2Bounds } from "./http2-bounds.ts";

type RefusedSocket = Parameters<ConnectionFront["take"]>[3];

export type FrontOptions = Pick<ConnectionOptions, "serves" | "messageBytesMax" | "open"> & {
  /** A connection without a call is ended after this. */
  readonly idleMs: number;
};

const ticksPerIdle = 4;
const tickMsMax = 500;

export class Front implements ConnectionFront {
  readonly #options: ConnectionOptions;
  readonly #connections = new Set<Connection>();
  readonly #tickMs: number;
  #timer: NodeJS.Timeout | undefined;
  // Of the one listener that gives connections to it.
  #refused: RefusedSocket = () => undefined;

  constructor({ idleMs, ...options }: FrontOptions) {
    this.#options = {
      ...options,
      bounds: { ...http2Bounds, idleMs },
      now,
      refused: (socket, details) => this.#refused(socket, details),
      left: (gone) => this.#left(gone),
    };
    this.#tickMs = Math.min(idleMs / ticksPerIdle, tickMsMax);
  }

  take(socket: Socket, first: Buffer, pass: (socket: Socket) => void, refused: RefusedSocket): void {
    this.#refused = refused;
    const connection = new Connection(socket, this.#options, pass);
    this.#connections.add(connection);
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref();
    connection.start(first);
  }

  goAway(): void {
    for (const connection of this.#connections) connection.goAway();
  }

  #tick(): void {
    const nowMs = now();
    for (const connection of this.#connections) connection.tick(nowMs);
  }

  #left(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function now(): number {
  return performance.now();
}
