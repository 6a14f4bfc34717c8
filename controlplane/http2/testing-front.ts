/** For tests: connections on a loopback socket whose calls do what the test says, and a client of raw frames. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { RawClient } from "../fanout/testing-http2-client.ts";
import type { BrokenConnection, CallInput, Http2Call } from "./call.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import { http2Bounds } from "./http2-bounds.ts";
import type { Http2Bounds } from "./http2-bounds.ts";
import { frame, frameType, initialWindowBytes, setting, settingsFrame, windowUpdateFrame } from "./frames.ts";
import type { Unreadable } from "./message-reader.ts";

export const waitMsMax = 60_000;
export const syncPath = "/weft.discovery.v1.DiscoveryService/Sync";

export async function until(is: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + waitMsMax;
  while (!is()) {
    assert.ok(performance.now() < deadlineMs, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Serves a call by writing down what happens to it. */
export class ScriptedCall implements CallInput {
  readonly call: Http2Call;
  readonly messages: Buffer[] = [];
  readonly unreadables: (Unreadable | BrokenConnection)[] = [];
  finishedCount = 0;
  closedCount = 0;
  /** Is called with each message. */
  onMessage: (message: Uint8Array) => void = () => undefined;

  constructor(call: Http2Call) {
    this.call = call;
  }

  received(message: Uint8Array): void {
    this.messages.push(Buffer.from(message));
    this.onMessage(message);
  }

  unreadable(why: Unreadable | BrokenConnection): void {
    this.unreadables.push(why);
    this.call.end(8, "cannot be read");
  }

  finished(): void {
    this.finishedCount++;
  }

  closed(): void {
    this.closedCount++;
  }
}

export interface ScriptedOptions {
  readonly bounds?: Partial<Http2Bounds>;
  readonly messageBytesMax?: number;
  readonly opened?: (call: ScriptedCall) => void;
  readonly pass?: (socket: Socket) => void;
}

export class ScriptedFront implements AsyncDisposable {
  readonly calls: ScriptedCall[] = [];
  readonly connections = new Set<Connection>();
  readonly sockets = new Set<Socket>();
  readonly passed: Socket[] = [];
  /** Why connections without a call were ended. */
  readonly refusals: string[] = [];
  /** Milliseconds; stands still unless a test moves it. */
  nowMs = 0;
  readonly #server: Server;
  readonly #clients: FramesClient[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(options: ScriptedOptions = {}): Promise<ScriptedFront> {
    const server = createServer({ noDelay: true });
    const front = new ScriptedFront(server);
    server.on("connection", (socket) => front.#accept(socket, options));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return front;
  }

  get port(): number {
    const address = this.#server.address();
    assert.ok(typeof address === "object" && address !== null);
    return address.port;
  }

  /** Call `start` of it. */
  client(): FramesClient {
    const client = new FramesClient(`127.0.0.1:${this.port}`);
    this.#clients.push(client);
    return client;
  }

  /** A client that has opened stream 1, and the call. */
  async opened(windowBytes = initialWindowBytes): Promise<[FramesClient, ScriptedCall]> {
    const client = this.client();
    client.startWith([[setting.initialWindowSize, windowBytes]]).sync(1);
    const before = this.calls.length;
    await until(() => this.calls.length > before, "the call");
    return [client, this.call(before)];
  }

  call(index = 0): ScriptedCall {
    const call = this.calls[index];
    assert.ok(call !== undefined, `there is no call ${index}`);
    return call;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await until(() => this.sockets.size === 0, "the end of all sockets");
  }

  #accept(socket: Socket, options: ScriptedOptions): void {
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    const connectionOptions: ConnectionOptions = {
      bounds: { ...http2Bounds, ...options.bounds },
      now: () => this.nowMs,
      serves: (headers) => new Map(headers).get(":path") === syncPath,
      messageBytesMax: options.messageBytesMax ?? 1_000_000,
      open: (call) => {
        const scripted = new ScriptedCall(call);
        this.calls.push(scripted);
        options.opened?.(scripted);
        return scripted;
      },
      refused: (_, details) => this.refusals.push(details),
      left: (gone) => this.connections.delete(gone),
    };
    const connection: Connection = new Connection(socket, connectionOptions, (passed) => {
      this.passed.push(passed);
      options.pass?.(passed);
    });
    this.connections.add(connection);
    connection.start(Buffer.alloc(0));
  }
}

export class FramesClient extends RawClient {
  /** What was sent since the test put a list here. */
  sent: Buffer[] | undefined;
  #pings = 0;

  override send(bytes: Uint8Array | string): this {
    this.sent?.push(Buffer.from(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes));
    return super.send(bytes);
  }

  startWith(settings: readonly (readonly [id: number, value: number])[]): this {
    return this.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send(settingsFrame(settings));
  }

  set(settings: readonly (readonly [id: number, value: number])[]): this {
    return this.send(settingsFrame(settings));
  }

  grant(stream: number, bytes: number): this {
    return this.send(windowUpdateFrame(stream, bytes));
  }

  reset(stream: number): this {
    return this.frame("reset", 0, stream, Buffer.of(0, 0, 0, 8));
  }

  /** The server has read all that was sent before, and what it answered at once is here. */
  async settled(): Promise<void> {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(++this.#pings, 4);
    this.send(frame(frameType.ping, 0, 0, payload));
    const isAnswer = ({ type, flags, payload: answer }: (typeof this.frames)[number]): boolean =>
      type === frameType.ping && flags === 1 && answer.equals(payload);
    await until(() => this.isClosed || this.frames.some(isAnswer), "the answer to a ping");
    assert.ok(!this.isClosed, `the connection was closed: ${this.goaway()?.message}`);
  }

  dataOf(stream: number): Buffer {
    return Buffer.concat(this.of(frameType.data, stream).map(({ payload }) => payload));
  }

  of(type: number, stream: number): typeof this.frames {
    return this.frames.filter((one) => one.type === type && one.stream === stream);
  }

  /** What the server granted. */
  grantsOf(stream: number): number {
    return this.of(frameType.windowUpdate, stream).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  }

  isEnded(stream: number): boolean {
    return this.of(frameType.headers, stream).some(({ flags }) => (flags & 1) === 1);
  }

  resetCode(stream: number): number | undefined {
    return this.of(frameType.reset, stream)[0]?.payload.readUInt32BE(0);
  }

  goaway(): { readonly last: number; readonly code: number; readonly message: string } | undefined {
    const payload = this.of(frameType.goaway, 0)[0]?.payload;
    if (payload === undefined) return undefined;
    return { last: payload.readUInt32BE(0), code: payload.readUInt32BE(4), message: payload.toString("utf8", 8) };
  }
}

/** Some bytes that tell where they are. */
export function bytesOf(length: number, seed = 0): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 255));
}
