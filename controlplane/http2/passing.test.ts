import { Client, Metadata, Server, ServerCredentials, credentials, status } from "@grpc/grpc-js";
import type { StatusObject } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import { frame as anyFrame, frameFlag, frameType, settingsAck } from "./frames.ts";
import { frame, grpcFrame, headerBlock } from "../fanout/testing-http2-client.ts";
import { ScriptedFront, bytesOf, syncPath, until } from "./testing-front.ts";
import type { FramesClient } from "./testing-front.ts";

const foreign = { ":path": "/test.Foreign/Echo" };
const asIs = (bytes: Buffer): Buffer => bytes;

/** A front that passes on to grpc-js, which echoes calls of /test.Foreign/Echo and of Sync. */
class Passing implements AsyncDisposable {
  readonly front: ScriptedFront;
  readonly #server: Server;
  readonly #destroy: () => void;

  private constructor(front: ScriptedFront, server: Server, destroy: () => void) {
    this.front = front;
    this.#server = server;
    this.#destroy = destroy;
  }

  static async start(): Promise<Passing> {
    const server = new Server();
    const echo = (path: string) => ({
      path,
      requestStream: true as const,
      responseStream: true as const,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    });
    type Duplex = NodeJS.ReadWriteStream;
    const serve = (call: Duplex): void => {
      call.on("data", (bytes: Buffer) => call.write(Buffer.concat([Buffer.from("grpc-js "), bytes])));
      call.on("end", () => call.end());
      call.on("error", () => undefined);
    };
    server.addService({ echo: echo(foreign[":path"]), sync: echo(syncPath) }, { echo: serve, sync: serve });
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const front = await ScriptedFront.start({
      pass: (socket: Socket) => injector.injectConnection(socket),
      opened: (call) => (call.onMessage = (bytes) => call.call.write(Buffer.from(bytes), () => undefined)),
    });
    return new Passing(front, server, () => injector.destroy());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.front[Symbol.asyncDispose]();
    this.#destroy();
    this.#server.forceShutdown();
  }
}

const answered = (client: FramesClient, stream: number): string => client.dataOf(stream).toString("latin1", 5);

describe("a connection whose first call is another one", () => {
  const orders: readonly [name: string, does: (client: FramesClient) => unknown][] = [
    ["before its call", (client) => client.start().send(settingsAck).sync(1, foreign).message(1, Buffer.from("x"))],
    ["after its call", (client) => client.start().sync(1, foreign).message(1, Buffer.from("x")).send(settingsAck)],
    ["within its call", (client) => client.start().sync(1, foreign).send(settingsAck).message(1, Buffer.from("x"))],
    [
      "after another call with large headers, and pings",
      (client) => {
        client.start().sync(1, foreign).frame("ping", 0, 0, Buffer.alloc(8, 1)).message(1, Buffer.from("x"));
        const block = headerBlock(foreign);
        client.frame("headers", 0, 3, block.subarray(0, 40)).frame("continuation", 4, 3, block.subarray(40));
        client.message(3, Buffer.from("y")).send(settingsAck);
      },
    ],
    [
      "after its call, which comes in two frames",
      (client) => {
        const block = headerBlock(foreign);
        client.start().frame("headers", 0, 1, block.subarray(0, 40)).frame("continuation", 4, 1, block.subarray(40));
        client.message(1, Buffer.from("x")).send(settingsAck);
      },
    ],
  ];

  for (const [name, does] of orders) {
    test(`our settings acknowledged ${name}: grpc-js serves it`, async () => {
      await using passing = await Passing.start();
      const client = passing.front.client();
      does(client);
      await until(() => answered(client, 1) === "grpc-js x", "the answer");
      client.frame("data", 1, 1);
      await until(() => client.isEnded(1), "the status");
      assert.deepEqual([passing.front.passed.length, passing.front.connections.size], [1, 0]);
      assert.equal(passing.front.calls.length, 0);
      if (name.includes("another")) {
        await until(() => answered(client, 3) === "grpc-js y", "the other answer");
        const pings = client.of(frameType.ping, 0).map(({ flags, payload }) => [flags, payload[0]]);
        assert.deepEqual(pings, [[1, 1]]);
      }
      // Sync on the same connection.
      client.sync(5).message(5, Buffer.from("z"));
      await until(() => answered(client, 5) === "grpc-js z", "Sync");
      client.close();
      await until(() => passing.front.sockets.size === 0, "the end");
    });
  }

  test("our settings never acknowledged: it ends when it was idle for too long", async () => {
    await using passing = await Passing.start();
    const { front } = passing;
    const client = front.client().start().sync(1, foreign);
    client.message(1, Buffer.from("x"));
    client.frame("ping", 0, 0, Buffer.alloc(8));
    await until(() => front.connections.size === 1, "the connection");
    for (const connection of front.connections) connection.tick(20_000);
    assert.equal(front.connections.size, 1);
    for (const connection of front.connections) connection.tick(20_001);
    await until(() => client.isClosed, "the end");
    assert.deepEqual([front.passed.length, front.connections.size], [0, 0]);
  });

  test("too much before our settings are acknowledged ends it", async () => {
    await using passing = await Passing.start();
    const client = passing.front.client().start().sync(1, foreign);
    client.data(1, Buffer.alloc(200_000));
    await until(() => client.isClosed, "the end");
    assert.equal(client.goaway()?.code, 11);
  });

  test("cut at any byte, then closed: nothing is left", async () => {
    await using passing = await Passing.start();
    const { front } = passing;
    const client = front.client();
    const sent: Buffer[] = (client.sent = []);
    client.start().sync(1, foreign).send(settingsAck).message(1, Buffer.from("x"));
    await until(() => answered(client, 1) === "grpc-js x", "the answer");
    client.close();
    const all = Buffer.concat(sent);
    for (let cut = 0; cut < all.length; cut++) front.client().send(all.subarray(0, cut)).close();
    await until(() => front.sockets.size === 0 && front.connections.size === 0, "the end of all");
  });

  test("cut into two pieces at any byte: it is served", async () => {
    await using passing = await Passing.start();
    const { front } = passing;
    const sent = [
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      frame("settings", 0, 0, Buffer.alloc(0)),
      settingsAck,
      frame("headers", 4, 1, headerBlock(foreign)),
      frame("data", 0, 1, grpcFrame(Buffer.from("x"))),
    ];
    const all = Buffer.concat(sent);
    for (let cut = 1; cut < all.length; cut += 3) {
      const client = front.client().send(all.subarray(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      client.send(all.subarray(cut));
      await until(() => answered(client, 1) === "grpc-js x", `the answer, cut at ${cut}`);
      client.close();
    }
  });
});

describe("a connection whose first call is late", () => {
  for (const isAcked of [true, false]) {
    test(`grpc-js serves it; our settings ${isAcked ? "acknowledged before" : "not yet acknowledged"}`, async () => {
      await using passing = await Passing.start();
      const { front } = passing;
      const client = front.client().start();
      if (isAcked) client.send(settingsAck);
      // The start of a frame, which is not read yet, goes with it.
      const settings = anyFrame(frameType.settings, 0, 0, Buffer.alloc(6));
      await client.settled();
      client.send(settings.subarray(0, 4));
      for (const connection of front.connections) connection.tick(1_000);
      assert.equal(front.passed.length, 0);
      for (const connection of front.connections) connection.tick(1_001);
      if (!isAcked) assert.equal(front.passed.length, 0);
      client.send(settings.subarray(4));
      if (!isAcked) client.send(settingsAck);
      client.sync(1).message(1, Buffer.from("x"));
      await until(() => answered(client, 1) === "grpc-js x", "the answer");
      assert.deepEqual([front.passed.length, front.connections.size, front.calls.length], [1, 0, 0]);
    });
  }

  test("within its headers: the rest of them is passed on too", async () => {
    await using passing = await Passing.start();
    const { front } = passing;
    const client = front.client().start();
    await client.settled();
    client.frame("headers", 0, 1, Buffer.of(0x83));
    await until(() => [...front.sockets].every(({ bytesRead }) => bytesRead >= 24 + 9 + 17 + 10), "the first part");
    for (const connection of front.connections) connection.tick(1_001);
    const rest = Buffer.concat([Buffer.of(0x86, 0x84, 0x01, 1), Buffer.from("a")]);
    client.frame("continuation", frameFlag.endHeaders, 1, rest).send(settingsAck);
    await until(() => client.of(frameType.headers, 1).length > 0, "an answer");
    assert.equal(front.passed.length, 1);
  });
});

describe("calls of both kinds on one connection of a real client", () => {
  for (const first of ["sync", "foreign"] as const) {
    test(`first ${first}: both work`, async () => {
      await using passing = await Passing.start();
      const { front } = passing;
      const client = new Client(`127.0.0.1:${front.port}`, credentials.createInsecure());
      const open = (path: string) => {
        const call = client.makeBidiStreamRequest(path, asIs, asIs, new Metadata());
        const got: string[] = [];
        call.on("data", (bytes: Buffer) => got.push(bytes.toString("latin1")));
        call.on("error", () => undefined);
        const ended = new Promise<StatusObject>((resolve) => call.on("status", resolve));
        return { call, got, ended };
      };
      const echoes = async (of: ReturnType<typeof open>, text: string, expected: string): Promise<void> => {
        of.call.write(Buffer.from(text));
        await until(() => of.got.at(-1) === expected, `"${expected}"`);
      };
      if (first === "sync") {
        const sync = open(syncPath);
        await echoes(sync, "a", "a");
        const other = open(foreign[":path"]);
        await echoes(other, "b", "grpc-js b");
        // The first connection was told to go, and its call goes on.
        await echoes(sync, "c", "c");
        other.call.end();
        assert.equal((await other.ended).code, status.OK);
        sync.call.cancel();
      } else {
        const other = open(foreign[":path"]);
        await echoes(other, "b", "grpc-js b");
        const sync = open(syncPath);
        await echoes(sync, "a", "grpc-js a");
        other.call.end();
        assert.equal((await other.ended).code, status.OK);
        await echoes(sync, "c", "grpc-js c");
      }
      client.close();
      await until(() => front.connections.size === 0, "the end of our connections");
    });
  }

  test("a large message of a call that is passed on arrives whole", async () => {
    await using passing = await Passing.start();
    const client = new Client(`127.0.0.1:${passing.front.port}`, credentials.createInsecure());
    const call = client.makeBidiStreamRequest(foreign[":path"], asIs, asIs, new Metadata());
    const got: Buffer[] = [];
    call.on("data", (bytes: Buffer) => got.push(bytes));
    call.on("error", () => undefined);
    const message = bytesOf(1_000_000);
    call.write(message);
    await until(() => got.length === 1, "the answer");
    assert.ok(got[0]?.subarray(8).equals(message));
    client.close();
  });
});
