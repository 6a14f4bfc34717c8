import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { MessageReader } from "./message-reader.ts";
import type { Read } from "./message-reader.ts";

const bytesMax = 100_000;
const message = fc.oneof(
  fc.uint8Array({ maxLength: 30 }),
  fc
    .integer({ min: 0, max: bytesMax })
    .map((length) => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255)),
);
const size = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 30_000 }));

function framed(of: Uint8Array, length = of.length, flag = 0): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flag, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, of]);
}

function readAll(reader: MessageReader): Read[] {
  const read: Read[] = [];
  for (let next = reader.next(); ; next = reader.next()) {
    if (next.kind === "more") return read;
    read.push(next);
    if (next.kind !== "message") return read;
  }
}

describe("messages in pieces", () => {
  test("any pieces, read at any time, give the same messages, which stay as they are", () => {
    const piece = fc.record({ size, isRead: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 5 }),
        fc.array(piece, { minLength: 1, maxLength: 9 }),
        (sent, pieces) => {
          const bytes = Buffer.concat(sent.map((one) => framed(one)));
          const reader = new MessageReader(bytesMax);
          const read: Read[] = [];
          let unread = 0;
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const next = pieces[i % pieces.length];
            const part = Buffer.from(bytes.subarray(at, at + (next?.size ?? 1)));
            at += part.length;
            reader.push(part);
            unread += part.length;
            assert.equal(reader.unread, unread);
            if (next?.isRead !== true) continue;
            read.push(...readAll(reader));
            unread = reader.unread;
            assert.equal(unread, 0);
          }
          read.push(...readAll(reader));
          assert.ok(reader.isBetweenMessages);
          assert.equal(read.length, sent.length);
          for (const [i, one] of read.entries()) {
            assert.ok(
              one.kind === "message" && Buffer.from(one.message).equals(sent[i] ?? Buffer.of(1)),
              `message ${i}`,
            );
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("one message at a time, with more coming in between", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 40 }), fc.array(fc.nat(3)), (sent, reads) => {
        const reader = new MessageReader(bytesMax);
        const read: Uint8Array[] = [];
        const next = (): void => {
          const one = reader.next();
          if (one.kind === "message") read.push(one.message);
        };
        for (const [i, one] of sent.entries()) {
          reader.push(framed(one));
          for (let left = reads[i] ?? 0; left > 0; left--) next();
        }
        while (read.length < sent.length) next();
        assert.deepEqual(
          read.map((one) => [...one]),
          sent.map((one) => [...one]),
        );
      }),
      { numRuns: 300 },
    );
  });

  test("what is dropped is what was not read", () => {
    const reader = new MessageReader(bytesMax);
    reader.push(framed(Buffer.alloc(10)));
    reader.push(framed(Buffer.alloc(20)));
    assert.equal(reader.next().kind, "message");
    assert.equal(reader.drop(), 25);
    assert.deepEqual([reader.unread, reader.next().kind], [0, "more"]);
  });
});

describe("limits", () => {
  test("a message at the limit is taken, one beyond is not, and says so again", () => {
    const reader = new MessageReader(10);
    reader.push(framed(Buffer.alloc(10)));
    assert.equal(reader.next().kind, "message");
    reader.push(framed(Buffer.alloc(11)));
    assert.deepEqual(reader.next(), { kind: "too-large", bytes: 11, bytesMax: 10 });
    assert.equal(reader.next().kind, "too-large");
  });

  test("a limit that changes holds from the next message on", () => {
    const reader = new MessageReader(10);
    reader.push(framed(Buffer.alloc(2), 10));
    assert.equal(reader.next().kind, "more");
    reader.bytesMax = 5;
    reader.push(Buffer.alloc(8));
    assert.equal(reader.next().kind, "message");
    reader.push(framed(Buffer.alloc(6)));
    assert.equal(reader.next().kind, "too-large");
  });

  for (const flag of [1, 2, 255]) {
    test(`flag ${flag} is refused`, () => {
      const reader = new MessageReader(10);
      reader.push(framed(Buffer.alloc(1), 1, flag));
      assert.equal(reader.next().kind, "compressed");
    });
  }

  test("4 GiB are too large, and not negative", () => {
    const reader = new MessageReader(10);
    reader.push(framed(Buffer.alloc(0), 0xffff_ffff));
    assert.deepEqual(reader.next(), { kind: "too-large", bytes: 0xffff_ffff, bytesMax: 10 });
  });

  test("what is claimed is not allocated before it comes", () => {
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 100 }, () => {
      const reader = new MessageReader(100_000_000);
      reader.push(framed(Buffer.alloc(10), 100_000_000));
      assert.equal(reader.next().kind, "more");
      reader.push(Buffer.alloc(1_000));
      assert.equal(reader.next().kind, "more");
      return reader;
    });
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 50_000_000, `${grown} bytes for ${readers.length} messages`);
  });
});
