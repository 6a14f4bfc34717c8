import assert from "node:assert/strict";
import { test } from "node:test";
import { Http2Call } from "./call.ts";
import type { Carrier } from "./call.ts";
import { frameHeaderBytes, payloadBytesMax, windowBytesMax } from "./frames.ts";

/** Takes what is written and is done with it when the test says so, as a socket whose client does not read. */
class StuckCarrier implements Carrier {
  window = windowBytesMax;
  readonly callWindow = windowBytesMax;
  heldBytes = 0;
  #done: (() => void)[] = [];

  write(bytes: Uint8Array, done?: () => void): void {
    this.heldBytes += bytes.length;
    if (done !== undefined) this.#done.push(done);
  }

  takeAll(): void {
    const taken = this.#done;
    this.#done = [];
    this.heldBytes = 0;
    for (const done of taken) done();
  }

  answer(): void {}
  cork(): void {}
  uncork(): void {}
  consumed(): void {}
  left(): void {}
}

/** Of the response, beside its first message. */
const headersBytesMax = 200;
const deltaBytes = 64 * 1_024 - 5;
const snapshotBytes = 1_024 * 1_024 - 5;

// Without TLS what is handed over is shared by all that are sent the same.
for (const [what, isEncrypted, messageBytes, heldMax] of [
  ["a part of a delta, by TLS", true, deltaBytes, payloadBytesMax + frameHeaderBytes + headersBytesMax],
  ["a part of a delta, without TLS", false, deltaBytes, deltaBytes + 4 * frameHeaderBytes + 5 + headersBytesMax],
  ["a part of a snapshot, by TLS", true, snapshotBytes, 2 * (payloadBytesMax + frameHeaderBytes) + headersBytesMax],
  ["a part of a snapshot, without TLS", false, snapshotBytes, 256 * 1_024 + 16 * frameHeaderBytes + headersBytesMax],
] as const) {
  test(`a client that is stuck within ${what}: the socket holds ${heldMax} bytes at most`, () => {
    const carrier = new StuckCarrier();
    const call = new Http2Call(1, carrier, 1_024, isEncrypted);
    const sent = { isWhole: false };
    call.write(new Uint8Array(messageBytes), () => (sent.isWhole = true));
    let [held, rounds] = [0, 0];
    for (; !sent.isWhole; rounds++) {
      held = Math.max(held, carrier.heldBytes);
      carrier.takeAll();
    }
    assert.ok(held <= heldMax && held > heldMax - headersBytesMax - 4 * frameHeaderBytes, `${held} bytes`);
    assert.equal(rounds, Math.ceil(messageBytes / held));
  });
}
