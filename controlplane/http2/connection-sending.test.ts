import assert from "node:assert/strict";
import { Socket } from "node:net";
import { describe, test } from "node:test";
import fc from "fast-check";
import { grpcFrame } from "../fanout/testing-http2-client.ts";
import type { ScriptedCall } from "./testing-front.ts";
import { ScriptedFront, bytesOf, until } from "./testing-front.ts";
import { Connection } from "./connection.ts";
import { http2Bounds } from "./http2-bounds.ts";
import { frame, frameType, initialWindowBytes, payloadBytesMax, setting, windowBytesMax } from "./frames.ts";

/** Counts how often `written` is called. */
function write(of: ScriptedCall, message: Uint8Array): { count: number } {
  const written = { count: 0 };
  of.call.write(message, () => written.count++);
  return written;
}

describe("sending within the windows", () => {
  test("headers come once, before the first message", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    write(call, bytesOf(10));
    write(call, bytesOf(20));
    await client.settled();
    assert.deepEqual(
      client.frames.filter(({ stream }) => stream === 1).map(({ type, flags }) => [type, flags]),
      [
        [frameType.headers, 4],
        [frameType.data, 0],
        [frameType.data, 0],
      ],
    );
  });

  test("a window that is exactly used up, then one byte at a time", async () => {
    const message = bytesOf(20);
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(2);
    const written = write(call, message);
    await client.settled();
    assert.deepEqual(client.dataOf(1), grpcFrame(message).subarray(0, 2));
    for (let i = 3; i <= 25; i++) {
      assert.equal(written.count, 0);
      client.grant(1, 1);
      await until(() => client.dataOf(1).length >= i, `byte ${i}`);
    }
    await until(() => written.count > 0, "written");
    await client.settled();
    assert.deepEqual(client.dataOf(1), grpcFrame(message));
    assert.equal(written.count, 1);
  });

  test("a message that just fits the window goes at once, and one byte more does not", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(25);
    const first = write(call, bytesOf(20));
    const second = write(call, bytesOf(0));
    await client.settled();
    assert.deepEqual([client.dataOf(1).length, first.count, second.count], [25, 1, 0]);
    client.grant(1, 5);
    await until(() => second.count === 1, "the second");
    assert.deepEqual(client.dataOf(1), Buffer.concat([grpcFrame(bytesOf(20)), grpcFrame(bytesOf(0))]));
  });

  test("settings make a window negative; what is granted fills it up first", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(3);
    write(call, bytesOf(20));
    await until(() => client.dataOf(1).length === 3, "three bytes");
    client.set([[setting.initialWindowSize, 0]]).grant(1, 3);
    await client.settled();
    assert.equal(client.dataOf(1).length, 3);
    client.grant(1, 1);
    await until(() => client.dataOf(1).length === 4, "a byte");
    client.set([[setting.initialWindowSize, 7]]);
    await until(() => client.dataOf(1).length === 11, "as many as settings grant");
    await client.settled();
    assert.equal(client.dataOf(1).length, 11);
  });

  test("settings are acknowledged before what follows from them", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(3);
    write(call, bytesOf(20));
    await until(() => client.dataOf(1).length === 3, "three bytes");
    const before = client.frames.length;
    client.set([[setting.initialWindowSize, 10]]);
    await until(() => client.dataOf(1).length === 10, "more");
    assert.deepEqual(
      client.frames.slice(before).map(({ type }) => type),
      [frameType.settings, frameType.data],
    );
  });

  test("a message beyond every window arrives whole, in frames that are not too large, and is written once", async () => {
    const message = bytesOf(1_000_000);
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened();
    const written = write(call, message);
    await until(() => client.dataOf(1).length === initialWindowBytes, "a window");
    assert.equal(written.count, 0);
    client.grant(1, 2_000_000);
    await client.settled();
    assert.equal(client.dataOf(1).length, initialWindowBytes);
    client.grant(0, 2_000_000);
    await until(() => client.dataOf(1).length >= message.length + 5, "all");
    assert.ok(client.dataOf(1).equals(grpcFrame(message)));
    assert.ok(client.of(frameType.data, 1).every(({ payload }) => payload.length <= payloadBytesMax));
    await until(() => written.count > 0, "written");
    await client.settled();
    assert.equal(written.count, 1);
  });

  test("after a window that ended within a frame, frames begin again where those of other calls do", async () => {
    const message = bytesOf(10 * payloadBytesMax);
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(2_000_000);
    write(call, message);
    await until(() => client.dataOf(1).length === initialWindowBytes, "a window");
    client.grant(0, 2_000_000);
    await until(() => client.dataOf(1).length === message.length + 5, "all");
    assert.ok(client.dataOf(1).equals(grpcFrame(message)));
    assert.deepEqual(
      client.of(frameType.data, 1).map(({ payload }) => payload.length),
      [...Array.from({ length: 3 }, () => payloadBytesMax), payloadBytesMax - 1, 1]
        .concat(Array.from({ length: 6 }, () => payloadBytesMax))
        .concat([5]),
    );
  });

  test("the largest window that there can be", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(windowBytesMax);
    client.grant(0, windowBytesMax - initialWindowBytes);
    const message = bytesOf(600_000);
    write(call, message);
    await until(() => client.dataOf(1).length === message.length + 5, "all");
    await client.settled();
  });

  test("two calls share the connection's window", async () => {
    await using front = await ScriptedFront.start();
    const [client, first] = await front.opened();
    client.sync(3);
    await client.settled();
    const [one, two] = [bytesOf(50_000, 1), bytesOf(50_000, 2)];
    write(first, one);
    write(front.call(1), two);
    const sum = (): number => client.dataOf(1).length + client.dataOf(3).length;
    await until(() => sum() === initialWindowBytes, "a window");
    await client.settled();
    assert.equal(sum(), initialWindowBytes);
    // Its own window is untouched, and nothing of it waits.
    client.sync(5);
    await client.settled();
    write(front.call(2), bytesOf(1));
    await client.settled();
    assert.equal(client.dataOf(5).length, 0);
    client.grant(0, 100_016 - initialWindowBytes);
    await until(() => sum() + client.dataOf(5).length === 100_016, "the rest");
    assert.ok(client.dataOf(1).equals(grpcFrame(one)) && client.dataOf(3).equals(grpcFrame(two)));
  });
});

describe("ends", () => {
  test("a status comes after the message before it, once that is sent", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(10);
    write(call, bytesOf(20));
    call.call.end(5, "no café, 100%");
    await client.settled();
    assert.ok(!client.isEnded(1));
    client.grant(1, 100);
    await until(() => client.isEnded(1), "the status");
    assert.equal(client.dataOf(1).length, 25);
    const last = client.of(frameType.headers, 1).at(-1)?.payload.toString("latin1") ?? "";
    assert.ok(last.includes("grpc-status\x015") && last.includes("no caf%C3%A9, 100%25"), last);
    assert.equal(call.closedCount, 0);
    client.frame("data", 1, 1);
    await until(() => call.closedCount === 1, "the end");
    client.sync(3);
    await client.settled();
    assert.equal(front.calls.length, 2);
  });

  test("a status without a message before it comes with the headers", async () => {
    await using front = await ScriptedFront.start({ opened: ({ call }) => call.end(0, "") });
    const [client] = await front.opened();
    await until(() => client.isEnded(1), "the status");
    assert.equal(client.of(frameType.headers, 1).length, 1);
    assert.equal(client.of(frameType.headers, 1)[0]?.payload[0], 0x88);
  });

  test("a call that is reset before it is served is closed", async () => {
    await using front = await ScriptedFront.start({ opened: ({ call }) => call.reset() });
    const [client, call] = await front.opened();
    await client.settled();
    assert.deepEqual([client.resetCode(1), call.closedCount], [8, 1]);
  });

  test("a call that is ended before it is served, by a client that has said all", async () => {
    await using front = await ScriptedFront.start({ opened: ({ call }) => call.end(0, "") });
    const [client] = await front.opened();
    client.send(Buffer.from([])).frame("data", 1, 1);
    await client.settled();
    assert.equal(front.call().closedCount, 1);
  });

  test("what a call could not send is dropped with it, and counts for no window", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(10);
    const written = write(call, bytesOf(100_000));
    await client.settled();
    client.reset(1);
    await client.settled();
    assert.equal(call.closedCount, 1);
    client
      .grant(0, 100_000)
      .sync(3)
      .set([[setting.initialWindowSize, 1_000_000]]);
    await client.settled();
    const later = write(front.call(1), bytesOf(initialWindowBytes + 100_000 - 10 - 5));
    await until(() => later.count === 1, "a message that uses the rest of the connection's window");
    assert.deepEqual([written.count, client.dataOf(1).length], [0, 10]);
    call.call.write(bytesOf(1), () => assert.fail("written after the end"));
    call.call.end(0, "");
    call.call.reset();
    await client.settled();
    assert.equal(call.closedCount, 1);
  });

  test("GOAWAY while a message waits: the message arrives, no call is opened, and the last end closes", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(10);
    write(call, bytesOf(20));
    await client.settled();
    for (const connection of front.connections) connection.goAway();
    await until(() => client.goaway() !== undefined, "GOAWAY");
    assert.deepEqual(client.goaway()?.last, 1);
    client.sync(3).grant(1, 100);
    await client.settled();
    assert.equal(client.resetCode(3), 7);
    call.call.end(0, "");
    const problems: string[] = [];
    for (const socket of front.sockets) socket.on("error", (error) => problems.push(error.message));
    // An answer is due in the same turn as the end, after which nothing can be written.
    client.send(
      Buffer.concat([frame(frameType.data, 1, 1, Buffer.alloc(0)), frame(frameType.ping, 0, 0, Buffer.alloc(8))]),
    );
    await until(() => client.isClosed, "the end");
    assert.equal(client.dataOf(1).length, 25);
    assert.ok(client.isEnded(1));
    assert.ok(!problems.includes("write after end"), problems.join());
  });

  test("GOAWAY on a connection without a call closes it", async () => {
    await using front = await ScriptedFront.start();
    const [client] = await front.opened();
    client.reset(1);
    await client.settled();
    for (const connection of front.connections) connection.goAway();
    await until(() => client.isClosed, "the end");
    assert.equal(client.goaway()?.code, 0);
  });

  test("a connection without a call ends in the end, one with a call does not", async () => {
    await using front = await ScriptedFront.start({ bounds: { idleMs: 1_000 } });
    const [client] = await front.opened();
    const tick = (nowMs: number): void => {
      front.nowMs = nowMs;
      for (const connection of front.connections) connection.tick(nowMs);
    };
    tick(5_000);
    await client.settled();
    client.reset(1);
    await client.settled();
    tick(6_000);
    await client.settled();
    tick(6_001);
    await until(() => client.isClosed, "the end");
  });

  test("a client that reads nothing is cut when its call is over", async () => {
    await using front = await ScriptedFront.start({ bounds: { idleMs: 1_000 } });
    const [client, { call }] = await front.opened(windowBytesMax);
    client.grant(0, windowBytesMax - initialWindowBytes);
    await client.settled();
    client.stall();
    // More than the kernel keeps for it.
    call.write(new Uint8Array(64 * 1_024 * 1_024), () => undefined);
    client.reset(1);
    await until(() => front.call().closedCount === 1, "the end of the call");
    for (const connection of front.connections) connection.tick(1_001);
    await until(() => front.connections.size === 0, "the end");
  });

  test("a client that does not even read why it is ended is cut", async () => {
    class StuckSocket extends Socket {
      isStuck = false;
      override _write(_bytes: unknown, _encoding: unknown, done: () => void): void {
        if (!this.isStuck) done();
      }
    }
    const socket = new StuckSocket();
    const bounds = { ...http2Bounds, idleMs: 1_000 };
    const [serves, unused] = [() => true, () => assert.fail("there is no call")];
    let leftCount = 0;
    const left = (): void => void leftCount++;
    const options = { bounds, now: () => 0, serves, messageBytesMax: 1, open: unused, refused: () => undefined, left };
    const connection = new Connection(socket, options, unused);
    connection.start(Buffer.alloc(0));
    socket.isStuck = true;
    connection.tick(1_001);
    assert.equal(socket.destroyed, false);
    connection.tick(1_002);
    await until(() => leftCount === 1, "the end");
  });

  test("a client that reads nothing pins one batch beside its message", async () => {
    await using front = await ScriptedFront.start();
    const [client, call] = await front.opened(windowBytesMax);
    client.grant(0, windowBytesMax - initialWindowBytes);
    await client.settled();
    client.stall();
    const written = write(call, new Uint8Array(64 * 1_024 * 1_024));
    const socket = [...front.sockets][0];
    let unsentMax = 0;
    // Until the kernel takes no more, which is when nothing changes.
    for (let left = -1; left !== socket?.bytesWritten;) {
      left = socket?.bytesWritten ?? 0;
      for (let i = 0; i < 50; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        unsentMax = Math.max(unsentMax, socket?.writableLength ?? 0);
      }
    }
    assert.equal(written.count, 0);
    assert.ok(unsentMax < 300 * 1_024, `${unsentMax} bytes`);
  });
});

describe("any order of writes, ends, grants and settings", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("write"), call: fc.nat(3), bytes: size() }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("grant"), call: fc.nat(3), bytes: size() }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("grant-all"), call: fc.constant(0), bytes: size() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("window"), call: fc.constant(0), bytes: size() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("settle"), call: fc.constant(0), bytes: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("reset"), call: fc.nat(3), bytes: fc.constant(0) }) },
  );

  function size(): fc.Arbitrary<number> {
    return fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 40_000 }));
  }

  test("each call's bytes arrive in order, never beyond a window, and all of them in the end", async () => {
    await using front = await ScriptedFront.start();
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.nat(8), fc.nat(70_000)), fc.array(step, { maxLength: 40 }), async (first, steps) => {
        const from = front.calls.length;
        const client = front.client().startWith([[setting.initialWindowSize, first]]);
        for (let i = 0; i < 4; i++) client.sync(2 * i + 1);
        await client.settled();
        const expected: Buffer[][] = [[], [], [], []];
        const isReset = [false, false, false, false];
        const windows = [0, 0, 0, 0];
        let [settings, all, due, written] = [first, initialWindowBytes, 0, 0];
        const withinWindows = (): void => {
          const sent = [0, 1, 2, 3].map((i) => client.dataOf(2 * i + 1).length);
          assert.ok(sent.reduce((a, b) => a + b, 0) <= all, "beyond the connection's window");
        };
        for (const { kind, call, bytes } of steps) {
          if (kind === "write") {
            const message = bytesOf(bytes, call);
            if (isReset[call] !== true) expected[call]?.push(grpcFrame(message));
            if (isReset[call] !== true) due++;
            front.call(from + call).call.write(message, () => written++);
          } else if (kind === "grant") {
            windows[call] = (windows[call] ?? 0) + bytes;
            client.grant(2 * call + 1, bytes);
          } else if (kind === "grant-all") {
            all += bytes;
            client.grant(0, bytes);
          } else if (kind === "window") {
            settings = bytes;
            client.set([[setting.initialWindowSize, bytes]]);
          } else if (kind === "reset") {
            isReset[call] = true;
            client.reset(2 * call + 1);
            await client.settled();
          } else {
            await client.settled();
            withinWindows();
            // What a window lets through is there: without resets the sum says so.
            if (!isReset.includes(true)) assertProgress(client, expected, windows, settings, all);
          }
        }
        await client.settled();
        withinWindows();
        client.grant(0, 2_000_000).set([[setting.initialWindowSize, 2_000_000]]);
        const wanted = expected.map((parts) => Buffer.concat(parts));
        for (const [i, want] of wanted.entries()) {
          if (isReset[i] === true) continue;
          await until(() => client.dataOf(2 * i + 1).length >= want.length, `all of call ${i}`);
        }
        await client.settled();
        for (const [i, want] of wanted.entries()) {
          const got = client.dataOf(2 * i + 1);
          assert.ok(got.equals(isReset[i] === true ? want.subarray(0, got.length) : want), `call ${i}`);
        }
        if (!isReset.includes(true)) await until(() => written === due, "each write to be confirmed");
        assert.ok(written <= due);
        client.close();
      }),
      { numRuns: 15 },
    );
  });

  // Calls of which none was blocked by the connection's window have sent all that their own lets through.
  function assertProgress(
    client: { dataOf(stream: number): Buffer },
    expected: readonly (readonly Buffer[])[],
    windows: readonly number[],
    settings: number,
    all: number,
  ): void {
    const sent = [0, 1, 2, 3].map((i) => client.dataOf(2 * i + 1).length);
    if (sent.reduce((a, b) => a + b, 0) >= all) return;
    for (const [i, parts] of expected.entries()) {
      const want = parts.reduce((sum, { length }) => sum + length, 0);
      const granted = settings + (windows[i] ?? 0);
      assert.ok((sent[i] ?? 0) >= Math.min(want, granted), `call ${i} sent ${sent[i]} of ${want}, granted ${granted}`);
    }
  }
});
