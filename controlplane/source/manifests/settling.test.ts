import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { FileReading } from "./folder.ts";
import { readObjects } from "./read-objects.ts";
import { fileRefusal } from "./refusal.ts";
import { Settling } from "./settling.ts";

const service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "x" },
  spec: { clusterIP: "172.30.0.1", ports: [{ port: 80 }] },
};
const one: FileReading = { kind: "read", ...readObjects("f", [service]) };
const empty: FileReading = { kind: "read", ...readObjects("f", []) };
const gone: FileReading = { kind: "gone" };
const garbage: FileReading = { kind: "unreadable", refusal: fileRefusal("f", 1, "x") };

describe("a look counts at once if it takes nothing away", () => {
  for (const [name, reading, sizeBefore] of [
    ["new", one, 0],
    ["as large as before", one, 1],
    ["empty as before", empty, 0],
  ] as const) {
    test(name, () => assert.equal(new Settling().judge("f", reading, "s1", sizeBefore, 0).kind, "settled"));
  }
});

describe("a look that takes something away counts when it was seen the same for a while", () => {
  for (const [name, reading, afterMs] of [
    ["less", one, 100],
    ["gone", gone, 100],
    ["garbage", garbage, 100],
    ["emptied", empty, 500],
  ] as const) {
    test(name, () => {
      const settling = new Settling();
      assert.deepEqual(settling.judge("f", reading, "s1", 5, 0), {
        kind: "doubtful",
        againInMs: afterMs,
        isHolding: true,
      });
      assert.deepEqual(settling.judge("f", reading, "s1", 5, afterMs - 1), {
        kind: "doubtful",
        againInMs: 1,
        isHolding: true,
      });
      assert.equal(settling.judge("f", reading, "s1", 5, afterMs).kind, "settled");
    });
  }

  test("what has settled stays so while its batch waits for another file", () => {
    const settling = new Settling();
    for (const now of [0, 100, 200, 500]) {
      const verdict = settling.judge("f", gone, "", 5, now);
      assert.equal(verdict.kind, now === 0 ? "doubtful" : "settled");
    }
    settling.forget("f");
    assert.equal(settling.judge("f", gone, "", 5, 600).kind, "doubtful");
  });

  test("a change meanwhile begins anew; a whole file counts at once", () => {
    const settling = new Settling();
    settling.judge("f", garbage, "s1", 5, 0);
    assert.deepEqual(settling.judge("f", garbage, "s2", 5, 90), { kind: "doubtful", againInMs: 100, isHolding: true });
    assert.equal(settling.judge("f", one, "s3", 1, 95).kind, "settled");
    assert.deepEqual([...settling.paths()], []);
  });

  test("a file that never rests holds its batch back for a second, itself for good", () => {
    const settling = new Settling();
    for (let now = 0; now <= 5_000; now += 50) {
      const verdict = settling.judge("f", one, `s${now}`, 5, now);
      assert.deepEqual(verdict, { kind: "doubtful", againInMs: 100, isHolding: now < 1_000 });
    }
  });

  test("what changed while it was read never counts", () => {
    const settling = new Settling();
    for (const now of [0, 200, 400]) assert.equal(settling.judge("f", one, undefined, 1, now).kind, "doubtful");
  });
});
