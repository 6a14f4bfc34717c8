import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { triggerTimesMax } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import type { EndpointSliceRecord, SourceRecord } from "../source/source.ts";
import { address, endpointRecord, serviceRecord, sliceRecord } from "./compile-samples.ts";
import { Compiler } from "./compiler.ts";

const web = serviceRecord("ns/web", { clusterIps: [address("172.30.0.1"), address("fd00::1")] });

function slice(name: string, endpoints: readonly string[], atMs: number, family: 4 | 6 = 4): EndpointSliceRecord {
  const of = sliceRecord(
    name,
    "ns/web",
    endpoints.map((ip) => endpointRecord(ip)),
  );
  return { ...of, trigger: { atMs, family } };
}

// What each step's commit was triggered by; the first step is what stands at the start.
function triggers(...steps: readonly (readonly SourceRecord[])[]): readonly (TriggerTimes | undefined)[] {
  const compiler = new Compiler();
  return steps.map((records) => {
    compiler.apply(records.map((record) => ({ op: "put", record })));
    return compiler.take().triggers;
  });
}

const none = { ipv4: [], ipv6: [] };

describe("what triggered a commit", () => {
  const start = [web, slice("ns/web-1", ["10.0.0.1"], 1)];
  const rows: readonly (readonly [what: string, next: readonly SourceRecord[], expected: TriggerTimes])[] = [
    ["a changed slice", [slice("ns/web-1", ["10.0.0.2"], 5)], { ipv4: [5], ipv6: [] }],
    ["a new slice", [slice("ns/web-2", ["fd00::a"], 6, 6)], { ipv4: [], ipv6: [6] }],
    ["an emptied slice", [slice("ns/web-1", [], 7)], { ipv4: [7], ipv6: [] }],
    ["two slices", [slice("ns/web-1", [], 8), slice("ns/web-2", ["10.0.0.9"], 9)], { ipv4: [8, 9], ipv6: [] }],
    ["a time without a change", [slice("ns/web-1", ["10.0.0.1"], 5)], none],
    ["a change without a new time", [slice("ns/web-1", ["10.0.0.2"], 1)], none],
    ["a slice without a time", [{ ...sliceRecord("ns/web-1", "ns/web", []) }], none],
    ["a slice of a service that is not known", [{ ...slice("ns/x", ["10.0.0.7"], 5), service: "ns/x" }], none],
    [
      "only the service that changed",
      [
        slice("ns/web-1", ["10.0.0.1"], 5),
        serviceRecord("ns/b"),
        { ...slice("ns/b-1", ["10.0.0.5"], 6), service: "ns/b" },
      ],
      { ipv4: [6], ipv6: [] },
    ],
  ];
  for (const [what, next, expected] of rows) {
    test(what, () => assert.deepEqual(triggers(start, next).at(-1), expected));
  }

  test("nothing at the start, and each only once", () => {
    assert.deepEqual(triggers(start, [slice("ns/web-1", ["10.0.0.2"], 5)], [serviceRecord("ns/b")], []), [
      none,
      { ipv4: [5], ipv6: [] },
      none,
      none,
    ]);
  });

  test("is bounded", () => {
    const many = Array.from({ length: 1_000 }, (_, i) => slice("ns/web-1", ["10.0.0.2"], i + 10));
    assert.equal(triggers(start, many).at(-1)?.ipv4.length, triggerTimesMax);
  });
});
