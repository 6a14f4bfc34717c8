import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { frame as anyFrame, frameType, initialWindowBytes, setting, settingsFrame } from "./frames.ts";
import { grpcFrame } from "../fanout/testing-http2-client.ts";
import { ScriptedFront, until } from "./testing-front.ts";
import type { FramesClient } from "./testing-front.ts";

const codes = { protocol: 1, flowControl: 3, streamClosed: 5, frameSize: 6, compression: 9, calm: 11 } as const;
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const window = (bytes: number): Buffer => Buffer.of(bytes >>> 24, bytes >>> 16, bytes >>> 8, bytes);
const begin = (type: number, flags: number, stream: number, length: number): Buffer =>
  anyFrame(type, flags, stream, Buffer.alloc(length));

interface Broken {
  readonly name: string;
  readonly code: number;
  /** Undefined: before anything but the TCP connection. Else after a good call on stream 1, which is kept open. */
  readonly isFresh?: boolean;
  readonly does: (client: FramesClient) => unknown;
}

const broken: readonly Broken[] = [
  {
    name: "another preface",
    code: codes.protocol,
    isFresh: true,
    does: (client) => client.send(preface.replace("SM", "MS")),
  },
  {
    name: "a first frame that is not SETTINGS",
    code: codes.protocol,
    isFresh: true,
    does: (client) => client.send(preface).send(begin(frameType.ping, 0, 0, 8)),
  },
  {
    name: "a first frame that acknowledges",
    code: codes.protocol,
    isFresh: true,
    does: (client) => client.send(preface).send(begin(frameType.settings, 1, 0, 0)),
  },
  {
    name: "data before any call",
    code: codes.protocol,
    isFresh: true,
    does: (client) => client.start().data(1, Buffer.of(1)),
  },
  {
    name: "a reset before any call",
    code: codes.protocol,
    isFresh: true,
    does: (client) => client.start().reset(1),
  },
  {
    name: "a first call with an even id",
    code: codes.protocol,
    isFresh: true,
    does: (client) => client.start().sync(2),
  },
  {
    name: "settings on a stream",
    code: codes.protocol,
    does: (client) => client.send(begin(frameType.settings, 0, 1, 0)),
  },
  { name: "settings of 5 bytes", code: codes.frameSize, does: (c) => c.send(begin(frameType.settings, 0, 0, 5)) },
  { name: "acknowledged settings", code: codes.frameSize, does: (c) => c.send(begin(frameType.settings, 1, 0, 6)) },
  { name: "push of 2", code: codes.protocol, does: (client) => client.set([[setting.enablePush, 2]]) },
  { name: "frames of 16,383", code: codes.protocol, does: (client) => client.set([[setting.maxFrameSize, 16_383]]) },
  {
    name: "frames of 2^24",
    code: codes.protocol,
    does: (client) => client.set([[setting.maxFrameSize, 2 ** 24]]),
  },
  {
    name: "a first window of 2^31",
    code: codes.flowControl,
    does: (client) => client.set([[setting.initialWindowSize, 2 ** 31]]),
  },
  { name: "a ping of 7 bytes", code: codes.frameSize, does: (client) => client.send(begin(frameType.ping, 0, 0, 7)) },
  { name: "a ping on a stream", code: codes.protocol, does: (client) => client.send(begin(frameType.ping, 0, 1, 8)) },
  { name: "a reset of 3 bytes", code: codes.frameSize, does: (client) => client.send(begin(frameType.reset, 0, 1, 3)) },
  { name: "a reset of stream 0", code: codes.protocol, does: (client) => client.reset(0) },
  { name: "a reset of an idle stream", code: codes.protocol, does: (client) => client.reset(3) },
  { name: "data of an idle stream", code: codes.protocol, does: (client) => client.data(3, Buffer.of(1)) },
  { name: "data of stream 0", code: codes.protocol, does: (client) => client.data(0, Buffer.of(1)) },
  { name: "a grant to an idle stream", code: codes.protocol, does: (client) => client.grant(3, 1) },
  { name: "a grant of 3 bytes", code: codes.frameSize, does: (c) => c.send(begin(frameType.windowUpdate, 0, 1, 3)) },
  { name: "a grant of nothing to all", code: codes.protocol, does: (client) => client.grant(0, 0) },
  { name: "a window beyond 2^31 - 1", code: codes.flowControl, does: (client) => client.grant(0, 2 ** 31 - 1) },
  {
    name: "settings that bring a call's window beyond 2^31 - 1",
    code: codes.flowControl,
    does: (client) => client.grant(1, 2 ** 31 - 1 - initialWindowBytes).set([[setting.initialWindowSize, 65_536]]),
  },
  { name: "priority of 4 bytes", code: codes.frameSize, does: (c) => c.send(begin(frameType.priority, 0, 1, 4)) },
  { name: "a push", code: codes.protocol, does: (client) => client.send(begin(frameType.pushPromise, 4, 1, 4)) },
  { name: "GOAWAY on a stream", code: codes.protocol, does: (client) => client.send(begin(frameType.goaway, 0, 1, 8)) },
  { name: "an even id", code: codes.protocol, does: (client) => client.sync(2) },
  { name: "an id that goes back", code: codes.protocol, does: (client) => client.sync(5).sync(3) },
  { name: "headers of stream 0", code: codes.protocol, does: (client) => client.sync(0) },
  {
    name: "headers of a stream that is over",
    code: codes.protocol,
    does: (client) => client.reset(1).sync(1),
  },
  {
    name: "padding as long as its frame",
    code: codes.protocol,
    does: (client) => client.frame("data", 8, 1, Buffer.of(2, 0)),
  },
  { name: "padded data without a length", code: codes.protocol, does: (client) => client.frame("data", 8, 1) },
  {
    name: "padded headers without a length",
    code: codes.protocol,
    does: (client) => client.frame("headers", 4 | 8, 3),
  },
  {
    name: "headers whose priority is cut off",
    code: codes.frameSize,
    does: (client) => client.frame("headers", 4 | 32, 3, Buffer.alloc(4)),
  },
  { name: "CONTINUATION of nothing", code: codes.protocol, does: (client) => client.frame("continuation", 4, 1) },
  {
    name: "data of a call between headers",
    code: codes.protocol,
    does: async (client) => {
      // In a piece of its own: what comes most is read in a shorter way.
      client.frame("headers", 0, 3, Buffer.of(0x82));
      await piece();
      client.data(1, grpcFrame(Buffer.of(1)));
    },
  },
  {
    name: "a ping between headers",
    code: codes.protocol,
    does: (client) => client.frame("headers", 0, 3, Buffer.of(0x82)).send(begin(frameType.ping, 0, 0, 8)),
  },
  {
    name: "CONTINUATION of another stream",
    code: codes.protocol,
    does: (client) => client.frame("headers", 0, 3, Buffer.of(0x82)).frame("continuation", 4, 5),
  },
  {
    name: "headers that cannot be read",
    code: codes.compression,
    does: (client) => client.frame("headers", 4, 3, Buffer.of(0x80)),
  },
  {
    name: "headers beyond their bound",
    code: codes.calm,
    does: (client) =>
      client.frame("headers", 0, 3, Buffer.alloc(16_000)).frame("continuation", 0, 3, Buffer.alloc(400)),
  },
  {
    name: "a frame beyond 16,384 bytes",
    code: codes.frameSize,
    does: async (client) => {
      await piece();
      client.send(anyFrame(frameType.data, 0, 1, Buffer.alloc(16_385)));
    },
  },
  {
    name: "more data than was granted",
    code: codes.flowControl,
    does: (client) => client.data(1, Buffer.alloc(initialWindowBytes + 1)),
  },
  {
    name: "more padding than was granted",
    code: codes.flowControl,
    // Of a paused call: what it holds is not granted again.
    does: (client) => {
      client.data(1, Buffer.alloc(initialWindowBytes - 1));
      return client.frame("data", 8, 1, Buffer.of(1, 0));
    },
  },
  {
    name: "more data than was granted to all calls together",
    code: codes.flowControl,
    does: (client) => client.sync(3).data(1, Buffer.alloc(40_000)).data(3, Buffer.alloc(40_000)),
  },
];

/** So long that what was sent before has arrived as a piece of its own, usually; what is tested holds either way. */
function piece(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

describe("what breaks a rule of the connection ends it, and names the rule", () => {
  for (const { name, code, isFresh, does } of broken) {
    test(name, async () => {
      await using front = await ScriptedFront.start({ opened: ({ call }) => call.pause() });
      const client = isFresh === true ? front.client() : (await front.opened())[0];
      await does(client);
      await until(() => client.isClosed, "the end");
      assert.deepEqual([client.goaway()?.code, client.goaway()?.message === ""], [code, false]);
      await until(() => front.connections.size === 0, "the end");
      for (const call of front.calls) assert.equal(call.closedCount, 1);
      const told = front.calls.flatMap(({ unreadables }) =>
        unreadables.map((why) => (why.kind === "connection" ? why.details : why.kind)),
      );
      // Each call that is open is told once. If none is, the listener is.
      assert.deepEqual([...new Set([...told, ...front.refusals])], [client.goaway()?.message]);
      assert.ok(front.calls.every(({ unreadables }) => unreadables.length <= 1));
      assert.equal(front.refusals.length, told.length === 0 ? 1 : 0);
    });
  }
});

describe("what breaks a rule of a call ends the call alone", () => {
  const grant = "WINDOW_UPDATE of nothing";
  const late = "HEADERS that are neither its first nor its end";
  const ofCalls: readonly [name: string, code: number, fault: string, does: (client: FramesClient) => unknown][] = [
    ["a grant of nothing", codes.protocol, grant, (client) => client.grant(1, 0)],
    [
      "a window beyond 2^31 - 1",
      codes.flowControl,
      "a window that is too large",
      (client) => client.grant(1, 2 ** 31 - 1),
    ],
    [
      "data after its end",
      codes.streamClosed,
      "DATA after its end",
      (client) => client.frame("data", 1, 1).data(1, Buffer.of(1)),
    ],
    ["headers in between", codes.protocol, late, (client) => client.sync(1)],
    ["headers after its end", codes.protocol, late, (client) => client.frame("data", 1, 1).sync(1)],
  ];
  for (const [name, code, fault, does] of ofCalls) {
    test(name, async () => {
      await using front = await ScriptedFront.start();
      const [client, { call }] = await front.opened();
      await does(client);
      await client.settled();
      assert.equal(client.resetCode(call.id), code);
      assert.equal(front.call().closedCount, 1);
      assert.deepEqual(front.call().unreadables, [{ kind: "connection", details: fault }]);
      client.sync(3).message(3, Buffer.of(7));
      await client.settled();
      assert.deepEqual(front.call(1).messages, [Buffer.of(7)]);
    });
  }

  const requests: readonly [name: string, headers: Readonly<Record<string, string>>][] = [
    ["a path that is empty", { ":path": "" }],
    ["a pseudo-header that does not exist", { ":protocol": "x" }],
    ["a header in capitals", { "X-Y": "1" }],
    ["a header of HTTP/1", { connection: "close" }],
    ["a blank in a name", { "x y": "1" }],
    ["te that is not trailers", { te: "gzip" }],
  ];
  for (const [name, headers] of requests) {
    test(`headers with ${name}`, async () => {
      await using front = await ScriptedFront.start();
      const [client] = await front.opened();
      client.sync(3, headers);
      await client.settled();
      assert.equal(client.resetCode(3), codes.protocol);
      assert.equal(front.calls.length, 1);
    });
  }
});

describe("what may be ignored is", () => {
  const ignored: readonly [name: string, does: (client: FramesClient) => unknown][] = [
    ["a type that is not known", (client) => client.send(anyFrame(0x42, 255, 7, Buffer.alloc(100)))],
    ["a setting that is not known", (client) => client.send(settingsFrame([[0x99, 7]]))],
    ["a priority", (client) => client.send(begin(frameType.priority, 0, 9, 5))],
    ["GOAWAY", (client) => client.send(begin(frameType.goaway, 0, 0, 8))],
    ["an answer to no ping", (client) => client.send(begin(frameType.ping, 1, 0, 8))],
    ["the bit before a stream's id", (client) => client.send(Buffer.from([0, 0, 0, 0, 0, 0x80, 0, 0, 1]))],
    ["the bit before a grant", (client) => client.frame("windowUpdate", 0, 1, window(0x8000_0001))],
    ["a reset, a grant and data of a call that is over", (c) => c.reset(1).reset(1).grant(1, 5).data(1, Buffer.of(1))],
    ["data of a stream that was passed over", (client) => client.sync(5).data(3, Buffer.alloc(10))],
  ];
  for (const [name, does] of ignored) {
    test(name, async () => {
      await using front = await ScriptedFront.start();
      const [client] = await front.opened();
      await does(client);
      client.sync(9).message(9, Buffer.of(1, 2));
      await client.settled();
      assert.deepEqual(front.calls.at(-1)?.messages, [Buffer.of(1, 2)]);
    });
  }
});

describe("floods end the connection", () => {
  const bounds = { framesMax: 200, framesPerSecond: 0, opensMax: 20, opensPerSecond: 0, unsentBytesMax: 4_096 };
  const floods: readonly [name: string, count: number, one: (client: FramesClient, i: number) => unknown][] = [
    ["pings", 300, (client) => client.send(begin(frameType.ping, 0, 0, 8))],
    ["answers to no ping", 300, (client) => client.send(begin(frameType.ping, 1, 0, 8))],
    ["settings", 300, (client) => client.set([[setting.initialWindowSize, 7]])],
    ["empty data", 300, (client) => client.frame("data", 0, 1)],
    ["padding", 300, (client) => client.frame("data", 8, 1, Buffer.of(1, 0))],
    ["grants", 300, (client) => client.grant(1, 1)],
    ["frames of no known type", 300, (client) => client.send(begin(0x42, 0, 0, 0))],
    ["continuations of nothing", 300, (c, i) => c.frame(i === 0 ? "headers" : "continuation", 0, 3)],
    ["calls that are reset", 30, (client, i) => client.sync(2 * i + 3).reset(2 * i + 3)],
    ["calls beyond their number", 30, (client, i) => client.sync(2 * i + 3)],
  ];
  for (const [name, count, one] of floods) {
    test(name, async () => {
      await using front = await ScriptedFront.start({ bounds });
      const [client] = await front.opened();
      for (let i = 0; i < count; i++) one(client, i);
      await until(() => client.isClosed, "the end");
      assert.equal(client.goaway()?.code, codes.calm);
      assert.equal(front.call().closedCount, 1);
    });
  }

  test("time brings more frames", async () => {
    await using front = await ScriptedFront.start({ bounds: { framesMax: 100, framesPerSecond: 1_000 } });
    const [client] = await front.opened();
    for (let i = 0; i < 10; i++) {
      for (let j = 0; j < 45; j++) client.send(begin(frameType.ping, 1, 0, 8));
      await client.settled();
      front.nowMs += 50;
    }
  });

  test("messages that are sent earn frames", async () => {
    await using front = await ScriptedFront.start({ bounds: { framesMax: 10, framesPerSecond: 0 } });
    const [client, { call }] = await front.opened();
    for (let i = 0; i < 20; i++) {
      call.write(Buffer.of(i), () => undefined);
      client.grant(1, 6).grant(0, 6);
      await client.settled();
    }
  });

  test("who is ended for one fault is blamed for no other", async () => {
    // Whatever is answered is too much.
    await using front = await ScriptedFront.start({ bounds: { unsentBytesMax: -1 } });
    const client = front.client();
    client.send(preface).send(begin(frameType.ping, 0, 0, 8));
    await until(() => client.isClosed && front.connections.size === 0, "the end");
    assert.deepEqual(front.refusals, ["the first frame is not SETTINGS"]);
  });

  test("answers that the client does not read are bounded", async () => {
    await using front = await ScriptedFront.start({ bounds: { framesMax: Infinity } });
    const [client] = await front.opened();
    client.stall();
    const pings = Buffer.concat(Array.from({ length: 1_000 }, () => begin(frameType.ping, 0, 0, 8)));
    let unsentMax = 0;
    for (let i = 0; i < 20_000 && front.connections.size > 0; i++) {
      client.send(pings);
      await new Promise((resolve) => setImmediate(resolve));
      for (const { writableLength } of front.sockets) unsentMax = Math.max(unsentMax, writableLength);
    }
    await until(() => front.connections.size === 0, "the end");
    assert.equal(front.call().unreadables[0]?.kind, "connection");
    assert.ok(unsentMax < 2 * 1_024 * 1_024, `${unsentMax} bytes`);
  });
});
