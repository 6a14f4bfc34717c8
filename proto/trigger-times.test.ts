import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hasTriggers, limitTriggers, mergeTriggers, noTriggers, triggerTimesMax } from "./trigger-times.ts";

describe("trigger times", () => {
  test("are put together by family", () => {
    const a = { ipv4: [1, 2], ipv6: [] };
    const b = { ipv4: [3], ipv6: [4] };
    assert.deepEqual(mergeTriggers(a, b), { ipv4: [1, 2, 3], ipv6: [4] });
    assert.equal(mergeTriggers(a, noTriggers), a);
    assert.deepEqual(mergeTriggers(noTriggers, b), b);
    assert.deepEqual(
      [hasTriggers(noTriggers), hasTriggers(a), hasTriggers({ ipv4: [], ipv6: [1] })],
      [false, true, true],
    );
  });

  test("are bounded, and what waits longest stays", () => {
    const many = Array.from({ length: triggerTimesMax + 50 }, (_, i) => 10_000 - i);
    const { ipv4, ipv6 } = limitTriggers({ ipv4: many, ipv6: [7] });
    assert.equal(ipv4.length, triggerTimesMax);
    assert.equal(ipv4.at(-1), 9_950);
    assert.deepEqual(ipv6, [7]);
    const merged = mergeTriggers({ ipv4, ipv6 }, { ipv4: [1], ipv6: [] });
    assert.equal(merged.ipv4.length, triggerTimesMax);
    assert.equal(merged.ipv4[0], 1);
  });
});
