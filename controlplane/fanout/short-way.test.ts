import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { shortWay } from "./short-way.ts";
import type { Write } from "./short-way.ts";

const path = "/test.Test/Talk";
const messageBytesMax = 10_000;
const identity = (bytes: Buffer): Buffer => bytes;
const method = {
  path,
  requestStream: true,
  responseStream: true,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};

type Call = ServerDuplexStream<Buffer, Uint8Array>;

interface Heard {
  readonly call: Call;
  readonly write: Write | undefined;
  /** In order; which way each came. */
  readonly messages: { readonly way: "short" | "long"; readonly text: string }[];
}

/** A server with one call that takes the short way, and a bare HTTP/2 stream to it. */
async function talk(): Promise<{ stream: http2.ClientHttp2Stream; heard: Heard } & AsyncDisposable> {
  const server = new Server({ "grpc.max_receive_message_length": messageBytesMax, "grpc.enable_channelz": 0 });
  const { promise, resolve } = Promise.withResolvers<Heard>();
  server.addService(
    { talk: method },
    {
      talk: (call: Call) => {
        const messages: Heard["messages"] = [];
        const write = shortWay<Buffer>(call, (bytes) =>
          messages.push({ way: "short", text: bytes.toString("latin1") }),
        );
        call.on("data", (bytes: Buffer) => messages.push({ way: "long", text: bytes.toString("latin1") }));
        call.on("end", () => call.end());
        resolve({ call, write, messages });
      },
    },
  );
  const port = await new Promise<number>((bound, failed) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, to) =>
      error === null ? bound(to) : failed(error),
    );
  });
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  const heard = await promise;
  return {
    stream,
    heard,
    async [Symbol.asyncDispose]() {
      const closed = once(session, "close");
      session.destroy();
      server.forceShutdown();
      await closed;
    },
  };
}

function framed(text: string, flag = 0): Buffer {
  const header = Buffer.from([flag, 0, 0, 0, 0]);
  header.writeUInt32BE(text.length, 1);
  return Buffer.concat([header, Buffer.from(text, "latin1")]);
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, "it did not happen within 30 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const textsOf = ({ messages }: Heard): readonly string[] => messages.map(({ text }) => text);

describe("the short way", () => {
  test("exists on the calls of this grpc-js, and a whole message takes it", async () => {
    await using talking = await talk();
    assert.ok(talking.heard.write !== undefined, "grpc-js is another one: the short way must be looked at again");
    talking.stream.write(framed("hello"));
    await until(() => talking.heard.messages.length === 1);
    assert.deepEqual(talking.heard.messages, [{ way: "short", text: "hello" }]);
  });

  test("is not taken by what comes in pieces or together, and order is kept", async () => {
    await using talking = await talk();
    const texts = Array.from({ length: 60 }, (_, i) => `message ${i} ${"x".repeat(i % 7)}`);
    const all = Buffer.concat(texts.map((text) => framed(text)));
    // Frames that end anywhere, and some that are one message.
    let at = 0;
    for (const length of [3, 30, 1, 4, 5, 200]) {
      talking.stream.write(all.subarray(at, at + length));
      at += length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    talking.stream.write(all.subarray(at));
    const single = Array.from({ length: 20 }, (_, i) => `single ${i}`);
    for (const text of single) talking.stream.write(framed(text));
    await until(() => talking.heard.messages.length === texts.length + single.length);
    assert.deepEqual(textsOf(talking.heard), [...texts, ...single]);
  });

  test("is not taken by a piece that looks like a whole message", async () => {
    await using talking = await talk();
    const inside = framed("inside").toString("latin1");
    for (const piece of [framed(`before${inside}behind`).subarray(0, 11), Buffer.from(inside, "latin1")]) {
      await new Promise<void>((resolve) => talking.stream.write(piece, () => resolve()));
      await new Promise((resolve) => setImmediate(resolve));
    }
    talking.stream.write("behind");
    await until(() => talking.heard.messages.length > 0);
    assert.deepEqual(talking.heard.messages, [{ way: "long", text: `before${inside}behind` }]);
  });

  test("is not taken while the call is paused", async () => {
    await using talking = await talk();
    talking.stream.write(framed("before"));
    await until(() => talking.heard.messages.length === 1);
    talking.heard.call.pause();
    for (let i = 0; i < 10; i++) talking.stream.write(framed(`paused ${i}`));
    await until(() => talking.heard.call.readableLength > 0);
    assert.deepEqual(textsOf(talking.heard), ["before"]);
    talking.heard.call.resume();
    talking.stream.write(framed("after"));
    await until(() => talking.heard.messages.length === 12);
    assert.deepEqual(textsOf(talking.heard), [
      "before",
      ...Array.from({ length: 10 }, (_, i) => `paused ${i}`),
      "after",
    ]);
  });

  test("is not taken by a message that says it is compressed", async () => {
    await using talking = await talk();
    talking.stream.write(framed("packed", 1));
    await until(() => talking.heard.messages.length === 1);
    assert.deepEqual(talking.heard.messages, [{ way: "long", text: "packed" }]);
  });

  test("a message over the limit is refused by grpc-js as ever", async () => {
    await using talking = await talk();
    const statuses: unknown[] = [];
    for (const event of ["response", "trailers"] as const)
      talking.stream.on(event, (headers: http2.IncomingHttpHeaders) => statuses.push(headers["grpc-status"]));
    talking.stream.resume();
    talking.stream.write(framed("x".repeat(messageBytesMax + 1)));
    await until(() => statuses.length > 0);
    assert.deepEqual(statuses, ["8"]);
    assert.deepEqual(textsOf(talking.heard), []);
  });

  for (const size of [0, 1, 100, 4_096, 4_097, 300_000]) {
    test(`writes messages of ${size} bytes behind their header`, async () => {
      await using talking = await talk();
      const { write } = talking.heard;
      assert.ok(write !== undefined);
      const message = Buffer.alloc(size, "m");
      let written = 0;
      for (let i = 0; i < 3; i++) write(message, () => written++);
      const received: Buffer[] = [];
      talking.stream.on("data", (bytes: Buffer) => received.push(bytes));
      const expected = Buffer.concat([1, 2, 3].map(() => framed(message.toString("latin1"))));
      await until(() => Buffer.concat(received).length === expected.length);
      assert.ok(Buffer.concat(received).equals(expected));
      await until(() => written === 3);
    });
  }

  test("writes nothing once the stream has gone", async () => {
    await using talking = await talk();
    talking.stream.close(http2.constants.NGHTTP2_CANCEL);
    await until(() => talking.heard.call.cancelled);
    let written = 0;
    talking.heard.write?.(Buffer.from("late"), () => written++);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(written, 0);
  });

  test("does not exist where a call looks otherwise", () => {
    assert.equal(
      shortWay({ isPaused: () => false, readableLength: 0 }, () => undefined),
      undefined,
    );
  });
});
