import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ReceiveCredit, creditLimits } from "./receive-credit.ts";

const limits = { tokensMax: 10, tokensPerSecond: 2, tokensPerWrite: 4, bytesPerToken: 100, floodMs: 5_000 };

/** Kinds of the answers to `count` messages, one every `everyMs`. */
function kinds(credit: ReceiveCredit, count: number, everyMs: number, fromMs = 0, bytes = 1): string[] {
  return Array.from({ length: count }, (_, i) => credit.take(bytes, fromMs + i * everyMs).kind);
}

describe("what an agent may say", () => {
  test("a bucket full at once, then as much as time brings", () => {
    const credit = new ReceiveCredit(limits, 0);
    assert.deepEqual(new Set(kinds(credit, 10, 0)), new Set(["go-on"]));
    assert.deepEqual(credit.take(1, 0), { kind: "pause", forMs: 500, isFirst: true });
    assert.deepEqual(credit.take(1, 500), { kind: "pause", forMs: 500, isFirst: false });
    assert.deepEqual(credit.take(1, 1_500), { kind: "go-on" });
  });

  test("large messages cost more", () => {
    const credit = new ReceiveCredit(limits, 0);
    assert.deepEqual(credit.take(950, 0), { kind: "go-on" });
    assert.deepEqual(credit.take(300, 0), { kind: "pause", forMs: 2_000, isFirst: true });
  });

  test("each write to it earns answers, and no more than the bucket holds is saved", () => {
    const credit = new ReceiveCredit(limits, 0);
    for (let i = 0; i < 100; i++) credit.wrote();
    assert.deepEqual(new Set(kinds(credit, 10, 0)), new Set(["go-on"]));
    credit.wrote();
    assert.deepEqual(kinds(credit, 5, 0), ["go-on", "go-on", "go-on", "go-on", "pause"]);
  });

  test("one that goes on for too long is flooding; a pause that it kept is forgotten", () => {
    const said = kinds(new ReceiveCredit(limits, 0), 100, 100);
    const pausedAt = said.indexOf("pause");
    assert.ok(pausedAt > 0);
    assert.equal(said.indexOf("flooding"), pausedAt + limits.floodMs / 100 + 1);
    const calm = new ReceiveCredit(limits, 0);
    assert.equal(kinds(calm, 11, 0).at(-1), "pause");
    // Half of the bucket is saved after 3 s.
    assert.equal(kinds(calm, 11, 0, 10_000).at(-1), "pause");
    assert.equal(calm.take(1, 10_000 + 100).kind, "pause");
  });

  test("an agent that answers ten commits a second, each twice, with a thousand failures, is never paused", () => {
    const credit = new ReceiveCredit(creditLimits, 0);
    const answered = Array.from({ length: 10_000 }, (_, i) => {
      credit.wrote();
      return [credit.take(1_000, i * 100).kind, credit.take(600_000, i * 100).kind];
    });
    assert.deepEqual(new Set(answered.flat()), new Set(["go-on"]));
  });
});
