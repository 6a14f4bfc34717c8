import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HelloPace } from "./hello-pace.ts";
import type { Pace } from "./hello-pace.ts";

const limits = { perSecond: 10, burst: 50, perNodeSecond: 1, nodeBurst: 3, nodesMax: 1_000, retryMaxMs: 20_000 };

function retryMs(pace: Pace): number {
  return pace.kind === "later" ? pace.retryAfterMs : 0;
}

describe("how many agents may enter", () => {
  test("a burst at once, the rest are told a time each, at the same rate", () => {
    const pace = new HelloPace(limits);
    const answers = Array.from({ length: 150 }, (_, i) => pace.take(`n${i}`, 0, 0));
    assert.ok(answers.slice(0, 50).every(({ kind }) => kind === "enter"));
    const times = answers.slice(50).map(retryMs);
    assert.deepEqual(
      times,
      times.map((_, i) => (i + 1) * 100),
    );
  });

  test("those who come back when told enter, but for a few that jitter brought together", () => {
    let seed = 1;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    const pace = new HelloPace(limits);
    const back = Array.from({ length: 150 }, (_, i) => ({
      node: `n${i}`,
      atMs: retryMs(pace.take(`n${i}`, 0, random())),
    }));
    const late = back.filter(({ atMs }) => atMs > 0).toSorted((a, b) => a.atMs - b.atMs);
    assert.equal(late.length, 100);
    // These have to wait again.
    let putOff = 0;
    for (const { node, atMs } of late) if (pace.take(node, atMs, random()).kind === "later") putOff++;
    assert.ok(putOff < 20, `${putOff} of 100`);
  });

  test("nobody is sent away for longer than a limit and a quarter", () => {
    const pace = new HelloPace(limits);
    const times = Array.from({ length: 5_000 }, (_, i) => retryMs(pace.take(`n${i}`, 0, 0.999)));
    assert.ok(Math.max(...times) <= limits.retryMaxMs * 1.25);
  });

  test("a node that comes again and again is slowed, and only that node", () => {
    const pace = new HelloPace(limits);
    const kinds = Array.from({ length: 5 }, () => pace.take("restless", 0, 0.5));
    assert.deepEqual(
      kinds.map(({ kind }) => kind),
      ["enter", "enter", "enter", "later", "later"],
    );
    assert.equal(retryMs(kinds.at(-1) ?? { kind: "enter" }), 2_250);
    assert.equal(pace.take("other", 0, 0).kind, "enter");
    assert.equal(pace.take("restless", 2_250, 0).kind, "enter");
  });
});
