/**
 * What the control plane is measured beside: a server of bare `node:http2`, or of raw TCP, that sends the same bytes on the same
 * number of connections and counts the acks. It does what a control plane cannot do without, and nothing else.
 *
 * Arguments: http2|tcp. Prints `ready PORT`. Each line on stdin is `{"from", "to", "bytes", "agents"}`: sends a delta of that size to
 * all, and prints `acked MICROSECONDS` once that many acks were read; or it is `null`: prints `empty` once nobody is connected.
 */
import http2 from "node:http2";
import net from "node:net";
import type { AddressInfo } from "node:net";
import readline from "node:readline";
import type { Duplex } from "node:stream";
import { create, toBinary } from "@bufbuild/protobuf";
import { NodeViewSchema, SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { encodeSmallResponse } from "@weft/controlplane/fanout/responses.ts";
import { streamLimits } from "@weft/controlplane/fanout/stream-limits.ts";
import type { Broadcast } from "./peer.ts";

const backlog = 4_096;
const streamsPerTurn = 32;
const headerBytes = 5;

/** Welcome, view and Synced of an agent that is up to date, as the control plane writes them. */
const greeting = framed(
  encodeSmallResponse({
    welcome: { epoch: epoch(1_763_881_972_000, 1), historyKind: "memory", limits: streamLimits, version: "0.1.0" },
    nodeView: create(NodeViewSchema, { zone: "zone-a" }),
    synced: revision(1),
  }),
);
const peers = new Set<Duplex>();
let isEmptyAsked = false;
let acksLeft = 0;
let beganMs = 0;

const server = process.argv[2] === "tcp" ? net.createServer({ noDelay: true }, serve) : http2Server();
server.listen({ host: "127.0.0.1", port: 0, backlog }, () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`);
});
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const asked = JSON.parse(line) as Broadcast | null;
  if (asked !== null) broadcast(asked);
  isEmptyAsked = asked === null;
  sayIfEmpty();
});

function http2Server(): http2.Http2Server {
  const of = http2.createServer();
  of.on("session", (session) => session.on("error", () => session.destroy()));
  of.on("stream", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
    serve(stream);
  });
  return of;
}

// The first message is a Hello; every other one is an ack.
function serve(stream: Duplex): void {
  let hasGreeted = false;
  const frames = new MessageCounter();
  stream.on("data", (bytes: Buffer) => {
    let messages = frames.count(bytes);
    if (!hasGreeted && messages > 0) {
      hasGreeted = true;
      messages--;
      stream.write(greeting);
      peers.add(stream);
    }
    if (messages === 0 || acksLeft === 0) return;
    acksLeft -= messages;
    if (acksLeft <= 0) {
      acksLeft = 0;
      process.stdout.write(`acked ${Math.round((performance.now() - beganMs) * 1_000)}\n`);
    }
  });
  stream.on("error", () => stream.destroy());
  stream.on("close", () => {
    peers.delete(stream);
    sayIfEmpty();
  });
}

function sayIfEmpty(): void {
  if (!isEmptyAsked || peers.size > 0) return;
  isEmptyAsked = false;
  process.stdout.write("empty\n");
}

// As many at once as the control plane visits in one turn of the event loop: 30 % less CPU than all at once.
function broadcast({ from, to, bytes, agents }: Broadcast): void {
  acksLeft = agents;
  beganMs = performance.now();
  const message = framed(deltaOf(from, to, bytes));
  const all = [...peers];
  const turn = (start: number): void => {
    for (const stream of all.slice(start, start + streamsPerTurn)) stream.write(message);
    if (start + streamsPerTurn < all.length) setImmediate(turn, start + streamsPerTurn);
  };
  turn(0);
}

// One resource that fills it up.
function deltaOf(from: number, to: number, bytes: number): Uint8Array {
  const resource = new Uint8Array(bytes);
  // Fields 1 and 4 of Resource: an id, a name.
  resource.set([0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x22]);
  for (let length = bytes; length > 0; length--) {
    const delta = { from: BigInt(from), to: BigInt(to), resources: [resource.subarray(0, length)] };
    const encoded = toBinary(SyncResponseSchema, create(SyncResponseSchema, { delta }));
    if (encoded.length <= bytes) return encoded;
  }
  throw new RangeError(`no delta has ${bytes} bytes`);
}

function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(headerBytes + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, headerBytes);
  return frame;
}

/** Counts the messages of one stream, whatever pieces they come in. */
class MessageCounter {
  #header = Buffer.alloc(headerBytes);
  #headerGot = 0;
  #left = 0;

  /** How many ended in `bytes`. */
  count(bytes: Buffer): number {
    let ended = 0;
    for (let at = 0; at < bytes.length;) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, bytes.length - at);
        at += taken;
        this.#left -= taken;
        if (this.#left === 0) ended++;
        continue;
      }
      this.#header[this.#headerGot++] = bytes[at++] ?? 0;
      if (this.#headerGot < headerBytes) continue;
      this.#headerGot = 0;
      this.#left = this.#header.readUInt32BE(1);
    }
    return ended;
  }
}
