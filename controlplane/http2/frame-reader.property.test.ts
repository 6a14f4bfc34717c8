import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FrameReader } from "./frame-reader.ts";
import { ConnectionError, frame, frameHeaderBytes, payloadBytesMax, preface } from "./frames.ts";

const sent = fc.record(
  {
    type: fc.nat(255),
    flags: fc.nat(255),
    stream: fc.nat(0x7fff_ffff),
    payload: fc.oneof(
      fc.constant(new Uint8Array(0)),
      fc.uint8Array({ maxLength: 30 }),
      fc.integer({ min: 0, max: payloadBytesMax }).map((length) => new Uint8Array(length).fill(length)),
    ),
  },
  { noNullPrototype: true },
);
type Sent = typeof sent extends fc.Arbitrary<infer T> ? T : never;

/** In pieces of these sizes, again and again. */
function* piecesOf(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? bytes.length;
    // Of its own memory, as pieces of a socket are.
    yield Buffer.from(bytes.subarray(at, at + size));
    at += size;
  }
}

const bytesOf = (frames: readonly Sent[]): Buffer =>
  Buffer.concat([preface, ...frames.map(({ type, flags, stream, payload }) => frame(type, flags, stream, payload))]);

const sizes = fc.oneof(
  fc.constant([1]),
  fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 40_000 })), {
    minLength: 1,
    maxLength: 8,
  }),
);

describe("frames in pieces", () => {
  test("any pieces give the same frames, and the rest is what was not given out", () => {
    fc.assert(
      fc.property(fc.array(sent, { maxLength: 6 }), sizes, fc.integer({ min: 1, max: 7 }), (frames, pieces, stopAt) => {
        const reader = new FrameReader();
        const bytes = bytesOf(frames);
        const read: Sent[] = [];
        let [came, given] = [0, preface.length];
        let isStopped = false;
        for (const piece of piecesOf(bytes, pieces)) {
          reader.push(piece);
          came += piece.length;
          while (!isStopped) {
            const next = reader.next();
            assert.equal(reader.isBetweenFrames, came >= preface.length && given + (next?.bytes.length ?? 0) === came);
            if (next === undefined) break;
            const { type, flags, stream, payload } = next;
            assert.equal(next.bytes.length, frameHeaderBytes + payload.length);
            read.push({ type, flags, stream, payload: new Uint8Array(payload) });
            given += next.bytes.length;
            isStopped = read.length === stopAt;
          }
          if (!isStopped) continue;
          assert.ok(reader.rest().equals(bytes.subarray(given, came)));
          assert.deepEqual(read, frames.slice(0, stopAt));
          return;
        }
        assert.deepEqual(read, frames);
        assert.equal(reader.isBetweenFrames, true);
        assert.equal(reader.rest().length, 0);
      }),
      { numRuns: 300 },
    );
  });

  test("the rest within a frame, header and payload", () => {
    const bytes = bytesOf([{ type: 0, flags: 0, stream: 1, payload: new Uint8Array(20).fill(7) }]);
    for (let cut = preface.length; cut < bytes.length; cut++) {
      for (const size of [1, 1_000]) {
        const reader = new FrameReader();
        for (const piece of piecesOf(bytes.subarray(0, cut), [size])) {
          reader.push(piece);
          assert.equal(reader.next(), undefined);
        }
        assert.ok(reader.rest().equals(bytes.subarray(preface.length, cut)), `${cut} in pieces of ${size}`);
      }
    }
  });

  for (const size of [1, 5, 100]) {
    test(`a frame that is too large is refused by its header, in pieces of ${size}`, () => {
      const reader = new FrameReader();
      const head = frame(0, 0, 1, new Uint8Array(payloadBytesMax + 1)).subarray(0, frameHeaderBytes);
      assert.throws(
        () => {
          for (const piece of piecesOf(Buffer.concat([preface, head]), [size])) {
            reader.push(piece);
            reader.next();
          }
        },
        (error) => error instanceof ConnectionError && error.code === 6,
      );
    });
  }

  test("each byte of the preface counts", () => {
    for (let at = 0; at < preface.length; at++) {
      const wrong = Buffer.from(preface);
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      const reader = new FrameReader();
      reader.push(wrong);
      assert.throws(() => reader.next(), ConnectionError);
    }
  });
});
