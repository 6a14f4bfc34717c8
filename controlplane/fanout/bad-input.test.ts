/**
 * What a client can do wrong below the messages of the protocol, from bytes that are no HTTP/2 to floods of good ones: each is
 * ended for a reason that is counted, and one good agent follows every change meanwhile. (What a message can have wrong:
 * `broken-rules.test.ts`.)
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { AckSchema, HelloSchema, SyncRequestSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { SyncRequest } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import { endpoints, node, service } from "../scripted-source.ts";
import { RawClient, frame, frameTypes, grpcFrame } from "./testing-http2-client.ts";
import type { ScriptedAgent } from "./scripted-agent.ts";

const helloBytesMax = 8_192;
/** Of HTTP/2. */
const errorCodes = { enhanceYourCalm: 11 } as const;
const requestBytesMax = 32_768;

const ended = (reason: string): string => `weft_fanout_streams_ended_total{reason="${reason}"}`;
const refused = (reason: string): string => `weft_fanout_connections_refused_total{reason="${reason}"}`;

const request = (message: SyncRequest["message"]): Uint8Array =>
  toBinary(SyncRequestSchema, create(SyncRequestSchema, { message }));
const hello = (name: string): Uint8Array =>
  request({ case: "hello", value: create(HelloSchema, { node: name, instance: 1n, protocol: 1 }) });
const ack = request({ case: "ack", value: create(AckSchema) });

/** The message with an unknown field that makes it so long; receivers pass it over. */
function padded(message: Uint8Array, length: number): Uint8Array {
  const rest = length - message.length;
  // Tag 1,000 and the length of what follows: two and three bytes.
  const body = rest - 5;
  const head = [0xc2, 0x3e, (body & 127) | 128, ((body >> 7) & 127) | 128, body >> 14];
  return Buffer.concat([message, Buffer.from(head), Buffer.alloc(body)]);
}

interface Case {
  readonly name: string;
  /** The sample that grows; undefined: nothing came of it in time, or HTTP/2 refuses a call. */
  readonly counted: string | undefined;
  readonly does: (client: RawClient) => unknown;
  /** Default: until the connection is closed. */
  readonly until?: (client: RawClient) => boolean;
}

const has =
  (type: keyof typeof frameTypes) =>
  (client: RawClient): boolean =>
    client.frames.some((one) => one.type === frameTypes[type]);
/** Ended by a bound of HTTP/2, and not because nothing came of it. */
const isRefused =
  (type: "reset" | "goaway", code: number) =>
  ({ frames }: RawClient): boolean =>
    frames.some((one) => one.type === frameTypes[type] && one.payload.readUInt32BE(type === "reset" ? 0 : 4) === code);
const isClosed = (client: RawClient): boolean => client.isClosed;
/** The end of a call: a status, or a reset. */
const isEnded = (client: RawClient): boolean =>
  client.isClosed ||
  client.frames.some(
    ({ type, flags }) => (type === frameTypes.headers && (flags & 1) === 1) || type === frameTypes.reset,
  );

const cases: readonly Case[] = [
  { name: "a connection that says nothing", counted: refused("silent"), does: () => undefined },
  { name: "bytes of another protocol", counted: refused("not-http2"), does: (client) => client.send("SSH-2.0-x\r\n") },
  { name: "half of the preface and then nothing", counted: undefined, does: (client) => client.send("PRI * HTT") },
  { name: "the preface and then nothing", counted: undefined, does: (client) => client.start() },
  {
    name: "a preface followed by garbage",
    counted: refused("not-http2"),
    does: (client) => client.start().send("garbage".repeat(20)),
  },
  {
    name: "headers that never end",
    counted: undefined,
    does: (client) => client.start().frame("headers", 0, 1, Buffer.of(0)),
  },
  {
    name: "a flood of continuations",
    counted: refused("not-http2"),
    does: (client) => {
      client.start().frame("headers", 0, 1, Buffer.of(0));
      for (let i = 0; i < 1_000; i++) client.frame("continuation", 0, 1, Buffer.alloc(1_000));
    },
  },
  {
    name: "more headers than a call may have",
    counted: undefined,
    does: (client) => client.start().sync(1, Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`x-${i}`, "1"]))),
    until: isRefused("reset", errorCodes.enhanceYourCalm),
  },
  {
    name: "pings whose answers are not read",
    counted: refused("not-http2"),
    does: (client) => {
      client.start().stall();
      const pings = Buffer.concat(Array.from({ length: 1_000 }, () => frame("ping", 0, 0, Buffer.alloc(8))));
      for (let i = 0; i < 1_000; i++) client.send(pings);
    },
  },
  {
    name: "settings again and again",
    counted: refused("not-http2"),
    does: (client) => {
      client.start().stall();
      const settings = Buffer.concat(Array.from({ length: 1_000 }, () => frame("settings", 0, 0, Buffer.alloc(6))));
      for (let i = 0; i < 1_000; i++) client.send(settings);
    },
  },
  {
    name: "calls that are opened and reset at once",
    counted: refused("not-http2"),
    does: (client) => {
      client.start();
      for (let i = 0; i < 1_000; i++) client.sync(2 * i + 1).frame("reset", 0, 2 * i + 1, Buffer.of(0, 0, 0, 8));
    },
    until: isRefused("goaway", errorCodes.enhanceYourCalm),
  },
  {
    name: "a flood of settings beside a call",
    counted: ended("transport"),
    does: async (client) => {
      client.start().sync(1).message(1, hello("settings"));
      await until(() => has("data")(client), "Welcome");
      for (let i = 0; i < 8_000; i++) client.frame("settings", 0, 0, Buffer.alloc(6));
    },
  },
  {
    name: "a grant that breaks the rules of its call",
    counted: ended("transport"),
    does: (client) => client.start().sync(1).frame("windowUpdate", 0, 1, Buffer.alloc(4)),
    until: isEnded,
  },
  {
    name: "more calls than a connection may have",
    counted: undefined,
    does: (client) => {
      client.start();
      for (let i = 0; i < 40; i++) client.sync(2 * i + 1);
    },
    until: has("reset"),
  },
  {
    name: "more streams than a connection may have",
    counted: ended("streams-limit"),
    does: (client) => {
      client.start();
      for (let i = 0; i < 9; i++) client.sync(2 * i + 1);
    },
    until: isEnded,
  },
  {
    name: "a call without Hello",
    counted: ended("hello-late"),
    does: (client) => client.start().sync(1),
    until: isEnded,
  },
  {
    name: "half of a Hello and then nothing",
    counted: ended("hello-late"),
    does: (client) =>
      client
        .start()
        .sync(1)
        .data(1, grpcFrame(hello("half")).subarray(0, 9)),
    until: isEnded,
  },
  {
    name: "a Hello at the limit of its size, and an ack beyond its own",
    counted: ended("too-large"),
    does: async (client) => {
      client
        .start()
        .sync(1)
        .message(1, padded(hello("large"), helloBytesMax));
      await until(() => has("data")(client), "Welcome");
      client.message(1, padded(ack, requestBytesMax)).message(1, padded(ack, requestBytesMax + 1));
    },
    until: isEnded,
  },
  {
    name: "a Hello beyond its limit",
    counted: ended("too-large"),
    does: (client) =>
      client
        .start()
        .sync(1)
        .message(1, padded(hello("larger"), helloBytesMax + 1)),
    until: isEnded,
  },
  {
    name: "a message that claims 4 GiB",
    counted: ended("too-large"),
    does: (client) =>
      client
        .start()
        .sync(1)
        .data(1, grpcFrame(Buffer.alloc(1), false, 0xffff_ffff)),
    until: isEnded,
  },
  {
    name: "a compressed message",
    counted: ended("malformed"),
    does: (client) => client.start().sync(1, { "grpc-encoding": "gzip" }).message(1, hello("zip"), true),
    until: isEnded,
  },
  {
    name: "thousands of compressed messages in one frame",
    counted: ended("malformed"),
    does: (client) =>
      client
        .start()
        .sync(1, { "grpc-encoding": "gzip" })
        .data(1, Buffer.concat(Array.from({ length: 3_000 }, () => grpcFrame(Buffer.alloc(0), true)))),
    until: isEnded,
  },
  {
    name: "thousands of empty messages before Hello",
    counted: ended("flooding"),
    does: (client) =>
      client
        .start()
        .sync(1)
        .data(1, Buffer.concat(Array.from({ length: 12_000 }, () => grpcFrame(Buffer.alloc(0))))),
    until: isEnded,
  },
  {
    name: "a flood of acks",
    counted: ended("flooding"),
    does: async (client) => {
      client.start().sync(1).message(1, hello("flood"));
      await until(() => has("data")(client), "Welcome");
      const acks = Buffer.concat(Array.from({ length: 8_000 }, () => grpcFrame(ack)));
      client.data(1, acks);
    },
    until: isEnded,
  },
];

let running: RunningPipeline;
let good: ScriptedAgent;

/** A change, and the good agent has it. */
async function follow(): Promise<void> {
  const next = running.head + 1;
  running.source.give(endpoints("a/b", [`10.1.${next >> 8}.${next & 255}`]));
  await good.untilRevision(next);
}

async function until(is: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!is()) {
    assert.ok(performance.now() < deadlineMs, `waited in vain for ${what}`);
    await follow();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("bad input ends what sent it, and nothing else", () => {
  before(async () => {
    running = await RunningPipeline.start({
      limits: {
        stream: { helloBytesMax, requestBytesMax, helloMs: 2_500, connectionIdleMs: 300 },
        fanout: { tickMs: 20, lingerMs: 300 },
      },
      listener: { handshakeMs: 300, silentMs: 6_000 },
      credit: { tokensPerSecond: 1, tokensPerWrite: 1, floodMs: 500 },
    });
    running.source.give(service("a/b"), endpoints("a/b", ["10.1.0.1"]), node("n1", "zone-1"));
    running.source.synced();
    good = running.agent("good").hello();
    await good.untilRevision(1);
  });
  after(() => running[Symbol.asyncDispose]());

  for (const { name, counted, does, until: is } of cases) {
    test(name, async () => {
      const countedBefore = counted === undefined ? 0 : running.metric(counted);
      const client = new RawClient(running.address);
      await does(client);
      await until(() => (is ?? isClosed)(client), "its end");
      if (counted !== undefined) await until(() => running.metric(counted) > countedBefore, counted);
      client.close();
      await until(() => running.metric("weft_fanout_streams") === 1, "the end of its streams");
      await follow();
      assert.equal(good.held.digest, running.pipeline.catalog.root);
    });
  }
});
