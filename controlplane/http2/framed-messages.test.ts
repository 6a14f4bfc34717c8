import assert from "node:assert/strict";
import { test } from "node:test";
import { grpcFrame } from "../fanout/testing-http2-client.ts";
import { framedMessage } from "./framed-messages.ts";
import { frame, frameType } from "./frames.ts";
import { bytesOf } from "./testing-front.ts";

for (const length of [0, 1, 1_000, 1_024, 8_000, 16_379])
  test(`a message of ${length} bytes is one frame`, () => {
    const message = bytesOf(length);
    assert.deepEqual(framedMessage(7, message), frame(frameType.data, 0, 7, grpcFrame(message)));
  });

test("who is stuck with a message pins that, not what lies beside it", () => {
  for (const length of [1_100, 8_000, 16_379]) {
    const framed = framedMessage(1, bytesOf(length));
    assert.equal(framed.buffer.byteLength, framed.length);
  }
});
