import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { createLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import { OtlpExport, spansMax } from "./otlp-export.ts";
import type { Span } from "./span.ts";

const span: Span = {
  traceId: "0123456789abcdef0123456789abcdef",
  spanId: "0123456789abcdef",
  parentId: undefined,
  name: "revision",
  kind: "internal",
  startUs: 1_763_881_972_000_000,
  endUs: 1_763_881_972_000_100,
  attributes: { "weft.revision": 1 },
};

interface Lab extends AsyncDisposable {
  readonly traces: OtlpExport;
  readonly logged: readonly string[];
  /** Ends the requests that wait, and answers later ones at once. @param status 200 or an error. */
  answer(status: number): void;
  /** From now on its answers begin and never end. */
  drip(): void;
  /** Of the metric by result. */
  spans(result: "exported" | "failed" | "dropped"): number;
  until(what: string, is: () => boolean): Promise<void>;
}

// A collector that answers nothing until it is told to. `limitMs`: of one batch.
async function startLab(limitMs?: number): Promise<Lab> {
  let status: number | undefined;
  const waiting: ((status: number) => void)[] = [];
  let isDripping = false;
  const server = createServer((request, response) => {
    request.resume();
    if (isDripping) {
      response.writeHead(200).flushHeaders();
      return;
    }
    // Later than a batch may take: it is not tried again.
    const answer = (code: number): void => void response.writeHead(code, { "retry-after": "3600" }).end();
    request.on("end", () => (status === undefined ? waiting.push(answer) : answer(status)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const metrics = new Metrics();
  const logged: string[] = [];
  const log = createLog({ logLevel: "info", logFormat: "text", write: (line) => void logged.push(line) });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`;
  const limit = limitMs === undefined ? {} : { limitMs };
  const traces = new OtlpExport({ url, resource: { "service.name": "test" }, log, metrics, ...limit });
  return {
    traces,
    logged,
    answer: (code) => {
      status = code;
      for (const answer of waiting.splice(0)) answer(code);
    },
    drip: () => {
      isDripping = true;
    },
    spans: (result) => {
      const line = new RegExp(`^weft_trace_spans_total\\{result="${result}"\\} (\\d+)$`, "m").exec(metrics.print());
      return Number(line?.[1]);
    },
    until: async (what, is) => {
      for (const untilMs = performance.now() + 60_000; !is(); await new Promise((resolve) => setTimeout(resolve, 5)))
        assert.ok(performance.now() < untilMs, `waited in vain for ${what}`);
    },
    [Symbol.asyncDispose]: async () => {
      await traces[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    },
  };
}

describe("spans for a collector", () => {
  test("wait in a bounded number; what comes above it is dropped and counted", async () => {
    await using lab = await startLab();
    for (let i = 0; i < 40; i++) lab.traces.add(Array.from({ length: 256 }, () => span));
    assert.equal(lab.spans("dropped"), 40 * 256 - spansMax);
    lab.answer(200);
    await lab.until("everything that waited", () => lab.spans("exported") === spansMax);
    lab.traces.add([span]);
    await lab.until("one more, now that there is room", () => lab.spans("exported") === spansMax + 1);
    assert.deepEqual(lab.logged, []);
  });

  test("that it refuses are counted, said once, and said again only when it took some in between", async () => {
    await using lab = await startLab();
    lab.answer(400);
    for (let failed = 1; failed <= 2; failed++) {
      lab.traces.add([span]);
      await lab.until("a failure", () => lab.spans("failed") === failed);
    }
    assert.equal(lab.logged.length, 1);
    assert.match(lab.logged[0] ?? "", / warn traces are not exported; nothing else waits for that, said once url=http/);
    assert.match(lab.logged[0] ?? "", / answered="400 Bad Request"/);
    lab.answer(200);
    lab.traces.add([span]);
    await lab.until("a success", () => lab.spans("exported") === 1);
    assert.match(lab.logged[1] ?? "", / info traces are exported again/);
    lab.answer(400);
    lab.traces.add([span]);
    await lab.until("another failure", () => lab.spans("failed") === 3);
    assert.equal(lab.logged.length, 3);
  });

  for (const [status, answered] of [
    [429, "429 Too Many Requests"],
    [503, "503 Service Unavailable"],
  ] as const) {
    test(`to which it answers ${status} are said to have failed by that`, async () => {
      await using lab = await startLab();
      lab.answer(status);
      lab.traces.add([span]);
      await lab.until("the failure", () => lab.spans("failed") === 1);
      assert.match(lab.logged[0] ?? "", new RegExp(`answered="${answered}"`));
    });
  }

  test("to which it begins to answer and never ends are given up, said once, and make room", async () => {
    await using lab = await startLab(50);
    lab.drip();
    lab.traces.add([span]);
    await lab.until("the failure", () => lab.spans("failed") === 1);
    assert.equal(lab.logged.length, 1);
    assert.match(lab.logged[0] ?? "", /error="no connection, or no whole answer, within 0.05 s"/);
    lab.traces.add([span]);
    await lab.until("the next one to fail", () => lab.spans("failed") === 2);
    assert.equal(lab.logged.length, 1);
  });

  test("that nobody takes do not keep a program from ending", async () => {
    const lab = await startLab();
    lab.traces.add([span]);
    await lab[Symbol.asyncDispose]();
    assert.equal(lab.spans("exported"), 0);
  });
});
