/** One agent on a connection of its own, told what to hold; it answers what it is asked and knows when it holds the head. */
import http2 from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  AckSchema,
  DigestsSchema,
  HelloSchema,
  SyncRequestSchema,
  SyncResponseSchema,
} from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Delta, DigestQuery, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { receivedId } from "@weft/proto/ids.ts";
import type { OldState } from "./old-state.ts";

const frameHeaderBytes = 5;
/** As agents have it. */
const windowBytes = 1_024 * 1_024;
/** `SyncRequest.digests`. */
const digestsTag = 0x1a;
const bucketsTag = 0x12;

export interface AgentNews {
  /** What was sent to it is complete. */
  readonly received: () => void;
  /** The control plane has asked for its digest and knows that nothing is missing. */
  readonly mended: () => void;
  readonly lost: (why: string) => void;
}

export class RepairedAgent {
  readonly #node: string;
  readonly #session: http2.ClientHttp2Session;
  #stream: http2.ClientHttp2Stream | undefined;
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  #state: OldState | undefined;
  #services = 0;
  #news: AgentNews | undefined;
  /** Resources of a snapshot; undefined: they are not kept. */
  #kept: Uint8Array[] | undefined;
  #revision = 0n;
  #isComplete = false;
  /** Messages with their framing. */
  receivedBytes = 0;
  sentBytes = 0;

  constructor(node: string, port: number) {
    this.#node = node;
    this.#session = http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: windowBytes } });
    this.#session.on("error", (error: Error) => this.#news?.lost(error.message));
    this.#session.on("connect", () => this.#session.setLocalWindowSize(windowBytes));
  }

  /** With its call, as a real agent's: a connection that waits without one is served another way. */
  async connected(): Promise<void> {
    if (this.#session.connecting) await new Promise<void>((resolve) => this.#session.once("connect", () => resolve()));
    this.#open();
  }

  /** All that the head holds. */
  async fetchAll(): Promise<readonly Uint8Array[]> {
    const kept: Uint8Array[] = [];
    this.#kept = kept;
    await new Promise<void>((received, lost) => {
      this.#news = { received, mended: () => undefined, lost: (why) => lost(new Error(why)) };
      this.#open();
      this.#send(create(SyncRequestSchema, { message: { case: "hello", value: this.#hello({}) } }));
    });
    this.#kept = undefined;
    return kept;
  }

  /** Says Hello with this state, of a history before this one. `isTold` false: it does not say what it holds. */
  meet(state: OldState, services: number, isTold: boolean, news: AgentNews): void {
    this.#state = state;
    this.#services = services;
    this.#news = news;
    const digest = isTold ? state.digest : 0n;
    const cursor = { epoch: { createdMs: 1n, random: 1 }, revision: 1n };
    const value = this.#hello({ digest, counts: { services }, cursor });
    this.#send(create(SyncRequestSchema, { message: { case: "hello", value } }));
  }

  close(): void {
    this.#news = undefined;
    this.#session.destroy();
  }

  #hello(of: MessageInitShape<typeof HelloSchema>) {
    return create(HelloSchema, { node: this.#node, instance: 1n, protocol: 1, ...of });
  }

  #open(): void {
    this.#stream = this.#session.request({
      ":method": "POST",
      ":path": "/weft.discovery.v1.DiscoveryService/Sync",
      "content-type": "application/grpc",
      te: "trailers",
    });
    this.#stream.on("data", (bytes: Buffer) => this.#read(bytes));
    this.#stream.on("error", (error: Error) => this.#news?.lost(error.message));
    // A refusal may be all headers, or come as trailers.
    for (const event of ["response", "trailers"] as const) {
      this.#stream.on(event, (headers: http2.IncomingHttpHeaders) => {
        const status = headers["grpc-status"];
        if (status !== undefined) this.#news?.lost(`status ${String(status)}: ${String(headers["grpc-message"])}`);
      });
    }
  }

  #read(bytes: Buffer): void {
    this.receivedBytes += bytes.length;
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
    while (this.#unreadBytes >= frameHeaderBytes) {
      const [first] = this.#unread;
      const start = first !== undefined && first.length >= frameHeaderBytes ? first : Buffer.concat(this.#unread);
      const end = frameHeaderBytes + start.readUInt32BE(1);
      if (this.#unreadBytes < end) return;
      const all = this.#unread.length === 1 ? start : Buffer.concat(this.#unread);
      this.#unread = [all.subarray(end)];
      this.#unreadBytes -= end;
      this.#take(fromBinary(SyncResponseSchema, all.subarray(frameHeaderBytes, end)));
    }
  }

  #take({ delta, heartbeat, digestQuery, goaway }: SyncResponse): void {
    if (goaway !== undefined) this.#news?.lost(`Goaway: ${goaway.message}`);
    if (delta !== undefined) this.#apply(delta);
    if (heartbeat !== undefined) {
      const digest = this.#state?.digest ?? 0n;
      this.#ack({ heartbeat: heartbeat.sequence, digest });
      if (this.#isComplete && heartbeat.digest === digest) this.#news?.mended();
    }
    if (digestQuery !== undefined) this.#answer(digestQuery);
  }

  #apply(delta: Delta): void {
    if (delta.scope?.everything === true) this.#state?.replace();
    else for (const bytes of delta.resources) this.#state?.mend(receivedId(fromBinary(ResourceSchema, bytes).id));
    for (const id of delta.removed) this.#state?.mend(receivedId(id));
    this.#kept?.push(...delta.resources);
    if (delta.part + 1 < (delta.parts || 1)) return;
    this.#revision = delta.to;
    this.#isComplete = this.#state === undefined || this.#state.wrong === 0;
    this.#news?.received();
    this.#ack({ digest: this.#state?.digest ?? 0n });
  }

  #ack(of: Pick<MessageInitShape<typeof AckSchema>, "digest" | "heartbeat">): void {
    const value = create(AckSchema, { ...of, revision: this.#revision, counts: { services: this.#services } });
    this.#send(create(SyncRequestSchema, { message: { case: "ack", value } }));
  }

  // The lists are at hand as they are on the wire.
  #answer({ allBuckets, buckets }: DigestQuery): void {
    if (this.#state === undefined) return;
    const sums = allBuckets ? lengthDelimited(bucketsTag, this.#state.sums()) : Buffer.alloc(0);
    const end = toBinary(DigestsSchema, create(DigestsSchema, { last: true }));
    this.#write(lengthDelimited(digestsTag, Buffer.concat([sums, this.#state.hashes(buckets), end])));
  }

  #send(request: MessageInitShape<typeof SyncRequestSchema>): void {
    this.#write(toBinary(SyncRequestSchema, create(SyncRequestSchema, request)));
  }

  #write(message: Uint8Array): void {
    const frame = Buffer.alloc(frameHeaderBytes + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, frameHeaderBytes);
    this.sentBytes += frame.length;
    this.#stream?.write(frame);
  }
}

function lengthDelimited(tag: number, bytes: Uint8Array): Buffer {
  const length: number[] = [];
  for (let left = bytes.length; ; left >>>= 7) {
    length.push(left < 0x80 ? left : (left & 0x7f) | 0x80);
    if (left < 0x80) break;
  }
  return Buffer.concat([Buffer.from([tag, ...length]), bytes]);
}
