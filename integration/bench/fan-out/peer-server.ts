/**
 * What the control plane is measured beside: a server of bare `node:http2`, of raw TCP, or of bare `node:tls`, that sends the same
 * bytes on the same number of connections and counts the acks. It does what a control plane cannot do without, and nothing else.
 *
 * Arguments: http2 | tcp [CERT KEY AUTHORITY]. Prints `ready PORT`. Each line on stdin is a JSON object:
 * `{"broadcast": Broadcast}` sends a delta of that size to all, and prints `acked MICROSECONDS` once that many acks were read;
 * `{"snapshot": PeerSnapshot}` is what everybody who comes from then on is sent first; `{}` prints `empty` once nobody is connected.
 */
import fs from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import type { AddressInfo } from "node:net";
import readline from "node:readline";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { MessageCounter } from "./message-counter.ts";
import { deltaMessage, greeting, snapshotMessages } from "./peer-messages.ts";
import type { Broadcast, PeerSnapshot } from "./peer.ts";

const backlog = 4_096;
const streamsPerTurn = 32;

const peers = new Set<Duplex>();
/** Those that wait for the snapshot. */
const waiting: Duplex[] = [];
let snapshot: { readonly messages: readonly Buffer[]; readonly inFlightMax: number } | undefined;
let inFlight = 0;
let isEmptyAsked = false;
let acksLeft = 0;
let beganMs = 0;

const [protocol, cert, key, authority] = process.argv.slice(2);
const server = protocol === "http2" ? http2Server() : cert === undefined ? tcpServer() : tlsServer();
server.listen({ host: "127.0.0.1", port: 0, backlog }, () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`);
});
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const asked = JSON.parse(line) as { readonly broadcast?: Broadcast; readonly snapshot?: PeerSnapshot };
  if (asked.broadcast !== undefined) broadcast(asked.broadcast);
  else if (asked.snapshot !== undefined)
    snapshot = { messages: snapshotMessages(asked.snapshot), inFlightMax: asked.snapshot.inFlightMax };
  else isEmptyAsked = true;
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

function tcpServer(): net.Server {
  return net.createServer({ noDelay: true }, serve);
}

// As the listener of the control plane sets it up (`proto/grpc/listener.ts`): the same certificates, and what a server by mTLS cannot do
// without. It verifies each client, prefers the same ciphers and sends as many session tickets (OpenSSL's two), but does not look at who it is.
function tlsServer(): tls.Server {
  const [certPem, keyPem, caPem] = [cert, key, authority].map((file) => fs.readFileSync(file ?? ""));
  const material = { cert: certPem, key: keyPem, ca: caPem };
  const demands = { requestCert: true, rejectUnauthorized: true, ALPNProtocols: ["h2"] };
  return tls.createServer({ ...material, ...demands, minVersion: "TLSv1.2", noDelay: true }, serve);
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
      peers.add(stream);
      welcome(stream);
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

function welcome(stream: Duplex): void {
  if (snapshot === undefined) {
    stream.write(greeting);
    return;
  }
  waiting.push(stream);
  sendSnapshots();
}

function sendSnapshots(): void {
  if (snapshot === undefined) return;
  for (const stream of waiting.splice(0, snapshot.inFlightMax - inFlight)) {
    inFlight++;
    sendParts(stream, snapshot.messages);
  }
}

// One at a time: the next one when this one has been handed to the socket.
function sendParts(stream: Duplex, [part, ...rest]: readonly Buffer[]): void {
  if (part !== undefined) {
    stream.write(part, () => sendParts(stream, rest));
    return;
  }
  stream.write(greeting);
  inFlight--;
  sendSnapshots();
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
  const message = deltaMessage(from, to, bytes);
  const all = [...peers];
  const turn = (start: number): void => {
    for (const stream of all.slice(start, start + streamsPerTurn)) stream.write(message);
    if (start + streamsPerTurn < all.length) setImmediate(turn, start + streamsPerTurn);
  };
  turn(0);
}
