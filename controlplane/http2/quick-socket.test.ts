import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { readNoMore, readQuickly, writeQuickly } from "./quick-socket.ts";

/** Two ends of a TCP connection. */
class Pair implements AsyncDisposable {
  readonly ours: net.Socket;
  readonly theirs: net.Socket;
  readonly #server: net.Server;

  private constructor(server: net.Server, ours: net.Socket, theirs: net.Socket) {
    this.#server = server;
    this.ours = ours;
    this.theirs = theirs;
  }

  static async open(): Promise<Pair> {
    const server = net.createServer({ noDelay: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    const theirs = net.connect({ port, host: "127.0.0.1", noDelay: true });
    const [ours] = (await once(server, "connection")) as [net.Socket];
    for (const socket of [ours, theirs]) socket.on("error", () => undefined);
    return new Pair(server, ours, theirs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ours.destroy();
    this.theirs.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** What was read so far, and who waits for more of it. */
class Heard {
  text = "";
  readonly #wanted: { readonly text: string; readonly heard: () => void }[] = [];

  readonly read = (bytes: Buffer): void => {
    this.text += bytes.toString();
    for (const { text, heard } of this.#wanted) if (this.text === text) heard();
  };

  async until(text: string): Promise<void> {
    if (this.text === text) return;
    await new Promise<void>((heard) => this.#wanted.push({ text, heard }));
  }
}

test("what comes is read in order, that of a pause once it is over, and then the end", async () => {
  await using pair = await Pair.open();
  const { ours, theirs } = pair;
  const heard = new Heard();
  readQuickly(ours, heard.read);
  theirs.write("one ");
  await heard.until("one ");
  ours.pause();
  theirs.write("two ");
  while (ours.readableLength === 0) await new Promise(setImmediate);
  assert.equal(heard.text, "one ");
  // More comes while what was buffered is being read.
  ours.once("data", () => theirs.write("three"));
  ours.resume();
  await heard.until("one two three");
  const ended = once(ours, "end");
  theirs.end();
  await ended;
  assert.equal(heard.text, "one two three");
});

test("what comes before a listener that is late is not passed to it first", async () => {
  await using pair = await Pair.open();
  const { ours } = pair;
  ours.unshift(Buffer.from("early "));
  const heard = new Heard();
  readQuickly(ours, heard.read);
  // As the handle does, before the stream has flowed.
  ours.push(Buffer.from("late"));
  await heard.until("early late");
});

test("whoever takes the socket afterwards reads all of the rest", async () => {
  await using pair = await Pair.open();
  const { ours, theirs } = pair;
  const [before, after] = [new Heard(), new Heard()];
  readQuickly(ours, before.read);
  theirs.write("before");
  await before.until("before");
  readNoMore(ours, before.read);
  ours.pause();
  theirs.write("after");
  while (ours.readableLength === 0) await new Promise(setImmediate);
  ours.on("data", after.read);
  ours.resume();
  await after.until("after");
  theirs.write(" that");
  await after.until("after that");
  assert.equal(before.text, "before");
});

test("what is written is told in order, and never before the call returns", async () => {
  await using pair = await Pair.open();
  const { ours, theirs } = pair;
  const heard = new Heard();
  theirs.on("data", heard.read);
  const told: string[] = [];
  const write = (text: string): Promise<void> =>
    new Promise((resolve) => {
      writeQuickly(ours, Buffer.from(text), (error) => {
        told.push(`${text}${error?.message ?? ""}`);
        // A write within is told later too.
        if (text === "a") void write("c");
        resolve();
      });
      assert.ok(!told.includes(text));
    });
  await Promise.all([write("a"), write("b")]);
  await heard.until("abc");
  assert.deepEqual(told, ["a", "b", "c"]);
});

test("what the kernel does not take is told once it is on its way, behind what was written before", async () => {
  await using pair = await Pair.open();
  const { ours, theirs } = pair;
  theirs.pause();
  const told: number[] = [];
  const writes: Promise<void>[] = [];
  const bytes = Buffer.alloc(1 << 20);
  const write = (): void => {
    const index = writes.length;
    writes.push(
      new Promise((resolve) =>
        writeQuickly(ours, bytes, () => {
          told.push(index);
          resolve();
        }),
      ),
    );
  };
  // Buffers of loopback end somewhere.
  while (ours.writableLength === 0) write();
  write();
  await Promise.all(writes.slice(0, -2));
  assert.equal(told.length, writes.length - 2);
  theirs.resume();
  await Promise.all(writes);
  assert.deepEqual(
    told,
    told.toSorted((a, b) => a - b),
  );
});

test("what is corked is told after it was uncorked", async () => {
  await using pair = await Pair.open();
  const { ours } = pair;
  const told: string[] = [];
  ours.cork();
  const corked = new Promise<void>((resolve) =>
    writeQuickly(ours, Buffer.from("a"), () => {
      told.push("written");
      resolve();
    }),
  );
  await new Promise(setImmediate);
  told.push("uncorked");
  ours.uncork();
  await corked;
  assert.deepEqual(told, ["uncorked", "written"]);
});

test("what cannot be written any more is told with the reason", async () => {
  await using pair = await Pair.open();
  const { ours } = pair;
  ours.destroy();
  const error = await new Promise<Error | null | undefined>((resolve) =>
    writeQuickly(ours, Buffer.from("a"), (reason) => resolve(reason)),
  );
  assert.ok(error instanceof Error);
});
