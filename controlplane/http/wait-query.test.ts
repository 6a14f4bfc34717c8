import assert from "node:assert/strict";
import { test } from "node:test";
import { readWaitQuery } from "./wait-query.ts";

const invalid: readonly (readonly [query: string, says: RegExp])[] = [
  ["", /^drained is missing/],
  ["timeout=3s", /^drained is missing/],
  ["drained=10.0.0.1", /^drained "10\.0\.0\.1" is not IP:PORT/],
  ["drained=10.0.0.1:0", /is not IP:PORT/],
  ["drained=host:80", /is not IP:PORT/],
  ["drained=fd00::1:80", /is not IP:PORT/],
  ["drained=10.0.0.1:80&timeout=soon", /^timeout "soon"/],
  ["drained=10.0.0.1:80&timeout=0", /^timeout "0"/],
  ["drained=10.0.0.1:80&timeout=25h", /^timeout "25h"/],
  ["drained=10.0.0.1:80&timeout=1s&timeout=2s", /^timeout is given twice/],
  ["drained=10.0.0.1:80&quorum=0", /^quorum "0"/],
  ["drained=10.0.0.1:80&quorum=101%25", /^quorum "101%"/],
  ["drained=10.0.0.1:80&quorum=half", /^quorum "half"/],
  ["drained=10.0.0.1:80&drain=10.0.0.2:80", /^unknown parameter "drain"/],
  [Array.from({ length: 257 }, (_, i) => `drained=10.0.0.1:${i + 1}`).join("&"), /^drained is given 257 times/],
];

for (const [query, says] of invalid) {
  test(`a query is refused: ${query.slice(0, 60)}`, () => {
    const read = readWaitQuery(new URLSearchParams(query));
    assert.equal(read.kind, "invalid");
    assert.match(read.kind === "invalid" ? read.problem : "", says);
  });
}

test("reads backends, timeout and quorum", () => {
  const query = new URLSearchParams("drained=10.0.0.1:80&drained=[fd00::1]:81&timeout=1m30s&quorum=95%25");
  assert.deepEqual(readWaitQuery(query), {
    kind: "wait",
    backends: [
      { address: "10.0.0.1", port: 80 },
      { address: "fd00::1", port: 81 },
    ],
    quorum: { kind: "percent", percent: 95 },
    timeoutMs: 90_000,
  });
});
