import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { TraceContextSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { parseHex, readTraceContext } from "./trace-context.ts";
import { isSampled, spanIdOf, takesPart, traceIdOf } from "./trace-id.ts";

const cursors = Array.from({ length: 4_000 }, (_, i) => ({
  epoch: epoch(1_763_881_972_000, 7),
  revision: revision(i + 1),
}));

describe("a trace", () => {
  test("has the id of its cursor, the same for everybody and for ever", () => {
    const cursor = { epoch: epoch(1_763_881_972_000, 0x9f3a_12bc), revision: revision(42) };
    assert.equal(traceIdOf(cursor), "7f41ec3714c35e9be084de17c1682ad6");
    assert.equal(spanIdOf(traceIdOf(cursor), "revision"), "f9058b59a1d1ceaf");
  });

  for (const ratio of [0, 0.01, 0.5, 1]) {
    test(`of ${ratio * 100} % of the revisions is sampled, whichever`, () => {
      const sampled = cursors.filter((cursor) => isSampled(traceIdOf(cursor), ratio)).length;
      // Six standard deviations; it is the same at every run.
      const slack = 6 * Math.sqrt(cursors.length * ratio * (1 - ratio));
      assert.ok(Math.abs(sampled - cursors.length * ratio) <= slack, `${sampled}`);
    });
  }

  test("that is sampled at some ratio is at every larger one", () => {
    for (const cursor of cursors) {
      const id = traceIdOf(cursor);
      assert.ok(!isSampled(id, 0.1) || isSampled(id, 0.2));
    }
  });

  test("is exported by its share of the nodes, others for each", () => {
    const nodes = Array.from({ length: 5_000 }, (_, i) => `node-${i}`);
    const [first, second] = cursors.slice(0, 2).map((cursor) => {
      const id = traceIdOf(cursor);
      return new Set(nodes.filter((node) => takesPart(id, node, 20_000)));
    });
    assert.ok(first !== undefined && second !== undefined);
    for (const { size } of [first, second]) assert.ok(size > 40 && size < 160, `${size} of 100`);
    assert.ok([...first].filter((node) => second.has(node)).length < 20);
    assert.ok(nodes.every((node) => takesPart("00", node, 1_000_000)));
  });
});

describe("a context on the wire", () => {
  const traceId = parseHex("0123456789abcdef0123456789abcdef");
  const spanId = parseHex("0123456789abcdef");
  const malformed = [
    ["no ids", {}],
    ["a short trace id", { traceId: traceId.slice(1), spanId }],
    ["a short span id", { traceId, spanId: spanId.slice(1) }],
    ["a zero trace id", { traceId: new Uint8Array(16), spanId }],
    ["a zero span id", { traceId, spanId: new Uint8Array(8) }],
  ] as const;
  for (const [what, context] of malformed) {
    test(`with ${what} is none`, () => {
      assert.equal(readTraceContext(create(TraceContextSchema, context)), undefined);
    });
  }

  test("that names no share is for all nodes", () => {
    const context = readTraceContext(create(TraceContextSchema, { traceId, spanId }));
    assert.equal(context?.nodesPerMillion, 1_000_000);
  });
});
