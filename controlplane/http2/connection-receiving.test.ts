import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { grpcFrame } from "../fanout/testing-http2-client.ts";
import { errorCode, initialWindowBytes } from "./frames.ts";
import { ScriptedFront, bytesOf, until } from "./testing-front.ts";

describe("receiving within what was granted", () => {
  test("bytes that come one at a time", async () => {
    const message = bytesOf(20);
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    const framed = grpcFrame(message);
    for (const byte of Buffer.concat([framed, framed])) client.data(1, Buffer.of(byte));
    client.frame("data", 1, 1);
    await client.settled();
    assert.deepEqual([call.messages, call.finishedCount], [[message, message], 1]);
  });

  test("the raw bytes of a whole connection, one at a time", async () => {
    const message = bytesOf(20);
    await using recorded = await ScriptedFront.start();
    const recorder = recorded.client();
    const sent: Buffer[] = (recorder.sent = []);
    recorder.start().sync(1).message(1, message).frame("data", 1, 1);
    await using front = await ScriptedFront.start();
    const client = front.client();
    for (const byte of Buffer.concat(sent)) {
      client.send(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => front.calls[0]?.finishedCount === 1, "the end");
    assert.deepEqual(front.call().messages, [message]);
  });

  test("padding is taken off, and granted again", async () => {
    await using front = await ScriptedFront.start({ bounds: { framesMax: 100_000 } });
    const [client, call] = await front.opened();
    const framed = grpcFrame(Buffer.of(7));
    const padded = Buffer.concat([Buffer.of(200), framed, Buffer.alloc(200)]);
    for (let i = 0; i < 1_000; i++) {
      client.frame("data", 8, 1, padded);
      // As a client that keeps to its window.
      if (i % 100 === 99) await client.settled();
    }
    assert.equal(call.messages.length, 1_000);
    for (const stream of [0, 1]) assert.ok(initialWindowBytes + client.grantsOf(stream) >= 1_000 * padded.length);
  });

  test("what is read is granted again, to the call and to the connection", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    for (let i = 0; i < 20; i++) {
      client.message(1, bytesOf(30_000, i));
      await client.settled();
    }
    assert.deepEqual(
      call.messages,
      Array.from({ length: 20 }, (_, i) => bytesOf(30_000, i)),
    );
    for (const stream of [0, 1]) assert.ok(client.grantsOf(stream) >= 20 * 30_005 - initialWindowBytes);
    for (const stream of [0, 1]) assert.ok(client.grantsOf(stream) <= 20 * 30_005);
  });

  test("a paused call takes a window and grants nothing; then all comes in order, and its end", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    call.call.pause();
    const messages = Array.from({ length: 6 }, (_, i) => bytesOf(10_000, i));
    for (const message of messages) client.message(1, message);
    client.frame("data", 1, 1);
    await client.settled();
    assert.deepEqual([call.messages.length, call.finishedCount], [0, 0]);
    assert.deepEqual([client.grantsOf(0), client.grantsOf(1)], [0, 0]);
    call.call.resume();
    await client.settled();
    assert.deepEqual([call.messages, call.finishedCount], [messages, 1]);
    assert.ok(client.grantsOf(0) > 0);
    call.call.resume();
    await client.settled();
    assert.equal(call.finishedCount, 1);
  });

  test("pause within a message stops before the next, and resume within it is granted once", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    call.onMessage = () => {
      call.call.pause();
      if (call.messages.length !== 2) return;
      // The rest comes within this.
      call.onMessage = () => undefined;
      call.call.resume();
    };
    const messages = Array.from({ length: 4 }, (_, i) => bytesOf(10_000, i));
    client.data(1, Buffer.concat(messages.map((message) => grpcFrame(message))));
    await client.settled();
    assert.equal(call.messages.length, 1);
    call.call.resume();
    await client.settled();
    assert.deepEqual(call.messages, messages);
    const sent = 4 * 10_005;
    assert.ok(client.grantsOf(0) <= sent && client.grantsOf(1) <= sent, `${client.grantsOf(1)} for ${sent}`);
  });

  test("what a call had not read when it was reset is granted to the connection's other calls", async () => {
    await using front = await ScriptedFront.start({ opened: ({ call }) => void (call.id < 20 && call.pause()) });
    const [client] = await front.opened();
    for (let id = 1; id < 20; id += 2) {
      if (id > 1) client.sync(id);
      client.data(id, Buffer.alloc(40_000)).reset(id);
      await client.settled();
    }
    client.sync(21).message(21, bytesOf(60_000));
    await client.settled();
    assert.equal(front.call(10).messages.length, 1);
  });

  test("data of calls that are over is granted again", async () => {
    await using front = await ScriptedFront.start();
    const [client, { call }] = await front.opened();
    call.reset(errorCode.cancel);
    for (let i = 0; i < 10; i++) {
      client.data(1, Buffer.alloc(30_000));
      await client.settled();
    }
    assert.ok(client.grantsOf(0) >= 300_000 - initialWindowBytes);
  });

  test("data of a call that has its status is passed over, and its end ends it", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    call.call.end(0, "");
    for (let i = 0; i < 10; i++) {
      client.data(1, Buffer.alloc(30_000));
      await client.settled();
    }
    client.frame("data", 1, 1);
    await client.settled();
    assert.deepEqual([call.messages.length, call.closedCount], [0, 1]);
  });

  test("trailers end what the client sends", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    client.message(1, bytesOf(5)).frame("headers", 5, 1, Buffer.from("\x00\x01x\x011", "latin1"));
    await client.settled();
    assert.deepEqual([call.messages.length, call.finishedCount, call.closedCount], [1, 1, 0]);
  });

  test("a message that is too large or compressed is told once, and nothing after it is received", async () => {
    for (const isCompressed of [false, true]) {
      await using front = await ScriptedFront.start({ messageBytesMax: 10 });
      const [client, call] = await front.opened();
      client
        .message(1, bytesOf(10))
        .message(1, bytesOf(isCompressed ? 3 : 11), isCompressed)
        .message(1, bytesOf(2));
      await client.settled();
      call.call.resume();
      client.message(1, bytesOf(2));
      await client.settled();
      assert.equal(call.messages.length, 1);
      assert.deepEqual(
        call.unreadables.map(({ kind }) => kind),
        [isCompressed ? "compressed" : "too-large"],
      );
      assert.ok(client.isEnded(1));
    }
  });

  test("a connection that is lost ends its calls", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    call.call.pause();
    client.data(1, Buffer.alloc(100)).close();
    await until(() => call.closedCount === 1 && front.connections.size === 0, "the end");
    assert.equal(call.finishedCount, 0);
  });
});
