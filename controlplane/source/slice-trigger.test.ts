import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isSameRecord } from "./same-record.ts";
import { project } from "./projection.ts";
import type { SourceRecord } from "./source.ts";

function record(annotations: unknown, addressType = "IPv4"): SourceRecord {
  const projection = project({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "ns", labels: { "kubernetes.io/service-name": "web" }, annotations },
    addressType,
    ports: [{ port: 80 }],
    endpoints: [],
  });
  assert.equal(projection.outcome, "record", JSON.stringify(projection));
  assert.ok(projection.outcome === "record");
  return projection.record;
}

const trigger = (time: unknown): unknown => ({ "endpoints.kubernetes.io/last-change-trigger-time": time });
const atMs = Date.UTC(2026, 10, 23, 9, 0, 1);

describe("what triggered the change of a slice", () => {
  const rows: readonly (readonly [what: string, annotations: unknown, atMs: number | undefined])[] = [
    ["seconds", trigger("2026-11-23T09:00:01Z"), atMs],
    ["nanoseconds, cut to milliseconds", trigger("2026-11-23T09:00:01.123456789Z"), atMs + 123],
    ["one digit of a fraction", trigger("2026-11-23T09:00:01.5Z"), atMs + 500],
    ["another zone", trigger("2026-11-23T11:00:01+02:00"), atMs],
    ["no annotations", undefined, undefined],
    ["annotations null", null, undefined],
    ["another annotation", { a: "b" }, undefined],
    ["annotations that are no object", "x", undefined],
    ["a number", trigger(1_763_888_401), undefined],
    ["not a time", trigger("yesterday"), undefined],
    ["no such day", trigger("2026-13-45T09:00:01Z"), undefined],
    ["without a zone", trigger("2026-11-23T09:00:01"), undefined],
    ["the zero time of Go", trigger("0001-01-01T00:00:00Z"), undefined],
  ];
  for (const [what, annotations, expected] of rows) {
    test(`${what}: ${expected ?? "none"}`, () => {
      const found = record(annotations);
      assert.deepEqual(
        found.kind === "EndpointSlice" ? found.trigger : found,
        expected === undefined ? undefined : { atMs: expected, family: 4 },
      );
    });
  }

  test("has the family of the slice, also of an empty one", () => {
    const found = record(trigger("2026-11-23T09:00:01Z"), "IPv6");
    assert.deepEqual(found.kind === "EndpointSlice" && found.trigger, { atMs, family: 6 });
  });

  test("alone is no difference", () => {
    const one = record(trigger("2026-11-23T09:00:01Z"));
    assert.ok(isSameRecord(one, record(trigger("2026-11-23T09:00:02Z"))));
    assert.ok(isSameRecord(one, record(undefined)));
    assert.ok(isSameRecord(record(undefined), one));
    assert.ok(one.kind === "EndpointSlice");
    assert.ok(!isSameRecord(one, { ...one, ports: [] }));
  });
});
