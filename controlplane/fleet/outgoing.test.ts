import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { Outgoing } from "./outgoing.ts";

/** A reader that takes nothing until it is told to. */
class StalledCall extends EventEmitter {
  readonly written: unknown[] = [];
  isStalled = true;
  hasEnded = false;

  write(message: unknown): boolean {
    this.written.push(message);
    return !this.isStalled;
  }

  end(): void {
    this.hasEnded = true;
  }

  read(): void {
    this.isStalled = false;
    this.emit("drain");
  }
}

test("what a slow reader does not take waits in order, and is bounded", async () => {
  const call = new StalledCall();
  const out = new Outgoing<number>(call);
  let sent = 0;
  while (out.send(sent)) sent++;
  assert.equal(sent, 1_025);
  assert.deepEqual([out.isWritable, call.written], [false, [0]]);
  const drained = out.drained();
  out.end();
  assert.equal(call.hasEnded, false);
  call.read();
  await drained;
  assert.deepEqual(
    call.written,
    Array.from({ length: sent }, (_, i) => i),
  );
  assert.deepEqual([call.hasEnded, out.closed.aborted], [true, true]);
});

test("a call fails once, and nothing is written after it", () => {
  const call = new StalledCall();
  const out = new Outgoing<number>(call);
  const errors: unknown[] = [];
  call.on("error", (error) => errors.push(error));
  out.fail(status.UNAVAILABLE, "gone");
  out.fail(status.INTERNAL, "again");
  out.send(1);
  out.end();
  assert.deepEqual(errors, [{ code: status.UNAVAILABLE, details: "gone" }]);
  assert.deepEqual([call.written, call.hasEnded], [[], false]);
});

for (const event of ["cancelled", "close", "error"]) {
  test(`a call that is over by "${event}" wakes whoever waits for its reader`, async () => {
    const call = new StalledCall();
    const out = new Outgoing<number>(call);
    out.send(1);
    const drained = out.drained();
    call.emit(event);
    await drained;
    assert.equal(out.closed.aborted, true);
  });
}
