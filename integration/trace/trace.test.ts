/** One trace per revision over real processes: a control plane, three agents on the memory dataplane, and a collector. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { ControlPlane } from "@weft/controlplane/testing-control-plane.ts";
import { takesPart } from "@weft/proto/telemetry/trace-id.ts";
import { StartedAgent } from "../health/started-agent.ts";
import type { DecodedSpan } from "./otlp-decoder.ts";
import { OtlpReceiver } from "./otlp-receiver.ts";

const names = ["n1", "n2", "n3"];
const nodeSteps = ["receive", "plan", "stage", "persist", "activate", "ack"];
const kinds = { internal: 1, producer: 4, consumer: 5 };
/** Between clocks of processes. Within one process there is none. */
const clockSlackNs = 1_000_000_000n;

const service = (cluster: string): string => `apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: ${cluster}, ports: [{port: 80}]}
`;
const slice = (...addresses: readonly string[]): string => `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [${addresses.map((address) => `{addresses: [${address}]}`).join(", ")}]
`;
const first = { "web.yaml": service("10.96.0.1"), "slice.yaml": slice("10.1.0.1") };

async function startFleet(plane: ControlPlane, flags: readonly string[]): Promise<AsyncDisposableStack> {
  const fleet = new AsyncDisposableStack();
  const agents = await Promise.all(names.map((name) => StartedAgent.start(name, plane.grpc, ...flags)));
  for (const agent of agents) fleet.use(agent);
  await untilMetric(plane, 'weft_fleet_nodes{state="current"}', names.length);
  return fleet;
}

async function metric(plane: ControlPlane, sample: string): Promise<number> {
  const line = (await plane.get("/metrics")).body.split("\n").find((one) => one.startsWith(`${sample} `));
  return Number(line?.slice(sample.length + 1) ?? 0);
}

async function untilMetric(plane: ControlPlane, sample: string, value: number): Promise<void> {
  for (const untilMs = performance.now() + 60_000; (await metric(plane, sample)) !== value;) {
    assert.ok(performance.now() < untilMs, `${sample} never became ${value}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// The whole trace, once it is whole: the root comes last, or the spans of a node do.
function wholeTrace(
  spans: readonly DecodedSpan[],
  revision: number,
  nodes: number,
): readonly DecodedSpan[] | undefined {
  const root = spans.find(({ name, attributes }) => name === "revision" && attributes["weft.revision"] === revision);
  if (root === undefined) return undefined;
  const trace = spans.filter(({ traceId }) => traceId === root.traceId);
  const of = (name: string): number => trace.filter((span) => span.name === name).length;
  return of("node") === nodes && of("ack") === nodes && of("fan-out") === 1 ? trace : undefined;
}

describe("a revision's trace", () => {
  test("is one tree from the file event to every node's ack, over four processes", async () => {
    await using collector = await OtlpReceiver.listen();
    const export_ = ["--otlp-endpoint", collector.url];
    await using plane = await ControlPlane.start(first, ["--insecure", ...export_, "--trace-ratio", "100%"]);
    await using _ = await startFleet(plane, export_);
    await plane.write("slice.yaml", slice("10.1.0.1", "10.1.0.2"));
    const trace = await collector.until("the trace of revision 2", (spans) => wholeTrace(spans, 2, names.length));

    const root = trace.find(({ name }) => name === "revision");
    assert.ok(root !== undefined);
    assert.equal(root.parentId, "");
    assert.equal(root.problem, "");
    assert.match(String(root.attributes["weft.cursor"]), /^\d+-[0-9a-f]{8}\.2$/);
    assert.equal(root.attributes["weft.services"], "shop/web");
    assert.equal(root.attributes["weft.nodes"], 3);
    assert.ok(Number(root.attributes["weft.bytes"]) > 0);
    assert.ok(Number(root.attributes["weft.puts"]) > 0);
    assert.ok(Number(root.attributes["weft.converged_100_ms"]) > 0);
    assert.equal(root.resource["service.name"], "weft-controlplane");

    // Parents, names and kinds of everything.
    const byId = new Map(trace.map((span) => [span.spanId, span]));
    assert.equal(byId.size, trace.length, "span ids are unique");
    const label = (span: DecodedSpan | undefined): string =>
      [span?.name ?? "none", span?.attributes["weft.node"] ?? []].flat().join("@");
    const printed = trace.map((span) => `${label(byId.get(span.parentId))} > ${label(span)} ${span.kind}`).toSorted();
    const { internal, producer, consumer } = kinds;
    const expected = [
      `none > revision ${internal}`,
      ...["event", "compile", "commit"].map((name) => `revision > ${name} ${internal}`),
      `revision > fan-out ${producer}`,
      ...names.flatMap((node) => [
        `revision > node@${node} ${consumer}`,
        ...nodeSteps.map((name) => `node@${node} > ${name}@${node} ${internal}`),
      ]),
    ].toSorted();
    assert.deepEqual(printed, expected);

    // Each span lies within its parent; where both are of one process, to the nanosecond.
    for (const span of trace) {
      assert.ok(span.startNs > 0n && span.startNs <= span.endNs, `${span.name} ends before it begins`);
      const parent = byId.get(span.parentId);
      if (parent === undefined) continue;
      const slackNs =
        parent.resource["service.instance.id"] === span.resource["service.instance.id"] ? 0n : clockSlackNs;
      assert.ok(span.startNs >= parent.startNs - slackNs, `${span.name} begins before ${parent.name}`);
      assert.ok(span.endNs <= parent.endNs + slackNs, `${span.name} ends after ${parent.name}`);
    }
    // One follows the other without a gap.
    for (const node of names) {
      const steps = nodeSteps.map((name) =>
        trace.find((span) => span.name === name && span.attributes["weft.node"] === node),
      );
      for (const [i, step] of steps.entries()) if (i > 0) assert.equal(step?.startNs, steps[i - 1]?.endNs);
      const whole = trace.find((span) => span.name === "node" && span.attributes["weft.node"] === node);
      assert.equal(whole?.resource["service.name"], "weft-agent");
      assert.equal(whole?.resource["service.instance.id"], node);
      assert.equal(whole?.attributes["weft.cursor"], root.attributes["weft.cursor"]);
      assert.equal(whole?.attributes["weft.applied"], 2);
      assert.equal(whole?.attributes["weft.puts"], root.attributes["weft.puts"]);
      assert.equal(whole?.attributes["weft.failures"], 0);
      assert.ok(Number(whole?.attributes["weft.bytes"]) > 0);
    }
    // The same trace is named by the metric's exemplar.
    const openMetrics = await fetch(`${plane.http}/metrics`, { headers: { accept: "application/openmetrics-text" } });
    assert.match(
      await openMetrics.text(),
      new RegExp(`convergence_seconds_bucket.* # \\{trace_id="${root.traceId}"\\}`),
    );
  });

  test("names only the nodes that the trace id chooses; all run the revision", async () => {
    await using collector = await OtlpReceiver.listen();
    const export_ = ["--otlp-endpoint", collector.url];
    const flags = ["--insecure", ...export_, "--trace-ratio", "100%", "--trace-nodes", "40%"];
    await using plane = await ControlPlane.start(first, flags);
    await using _ = await startFleet(plane, export_);
    const revisions = Array.from({ length: 8 }, (_unused, i) => i + 2);
    for (const revision of revisions) {
      await plane.write("slice.yaml", slice("10.1.0.1", `10.1.0.${revision}`));
      await untilMetric(plane, "weft_catalog_revision", revision);
      await untilMetric(plane, 'weft_fleet_nodes{state="current"}', names.length);
    }
    const roots = await collector.until("eight roots", (spans) => {
      const found = spans.filter(({ name, attributes }) => name === "revision" && attributes["weft.revision"] !== 1);
      return found.length === revisions.length ? found : undefined;
    });
    const chosen = roots.flatMap(({ traceId }) =>
      names.filter((node) => takesPart(traceId, node, 400_000)).map((node) => `${traceId} ${node}`),
    );
    assert.ok(chosen.length > 0 && chosen.length < revisions.length * names.length, "some, not all");
    const told = (spans: readonly DecodedSpan[]): readonly string[] =>
      spans.filter(({ name }) => name === "node").map((span) => `${span.traceId} ${span.attributes["weft.node"]}`);
    await collector.until("the chosen nodes", (spans) => told(spans).length >= chosen.length);
    assert.deepEqual(told(collector.spans).toSorted(), chosen.toSorted());
    assert.ok(roots.every(({ problem }) => problem === ""));
  });

  test("of nothing is made at a ratio of 0, though everybody exports", async () => {
    await using collector = await OtlpReceiver.listen();
    const export_ = ["--otlp-endpoint", collector.url];
    await using plane = await ControlPlane.start(first, ["--insecure", ...export_, "--trace-ratio", "0%"]);
    {
      await using _ = await startFleet(plane, export_);
      await plane.write("slice.yaml", slice("10.1.0.1", "10.1.0.2"));
      await untilMetric(plane, "weft_catalog_revision", 2);
      await untilMetric(plane, 'weft_fleet_nodes{state="current"}', names.length);
    }
    // What is left is exported at the end.
    assert.equal(await plane.stop(), 0);
    assert.equal(collector.requests, 0);
  });
});

describe("without a collector", () => {
  for (const behaviour of ["refuse", "hang"] as const) {
    test(`that answers (${behaviour}), revisions run as ever, and each program says it once at most`, async () => {
      await using collector = await OtlpReceiver.listen();
      collector.behaviour = behaviour;
      const export_ = ["--otlp-endpoint", collector.url];
      await using plane = await ControlPlane.start(first, ["--insecure", ...export_, "--trace-ratio", "100%"]);
      await using agent = await StartedAgent.start("n1", plane.grpc, ...export_);
      const all = 'weft_fleet_nodes{state="current"}';
      await untilMetric(plane, all, 1);
      for (let revision = 2; revision <= 6; revision++) {
        await plane.write("slice.yaml", slice("10.1.0.1", `10.1.0.${revision}`));
        await untilMetric(plane, "weft_catalog_revision", revision);
        await untilMetric(plane, all, 1);
        const requests = collector.requests;
        if (behaviour === "refuse") await collector.until("a try to export", () => collector.requests > requests);
      }
      await collector.until("a request", () => collector.requests > 0);
      const said = (text: string): number => text.split("traces are not exported").length - 1;
      if (behaviour === "refuse") {
        await collector.until("both to say so", () => said(plane.stderr) > 0 && said(agent.stderr) > 0);
      }
      // Closing does not wait for it either.
      assert.deepEqual([await agent.stop(), await plane.stop()], [0, 0]);
      assert.ok(said(plane.stderr) <= 1 && said(agent.stderr) <= 1);
    });
  }

  test("that is asked for, nothing of OpenTelemetry is loaded", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "weft-trace-"));
    const recorder = new URL("record-modules.ts", import.meta.url).href;
    const loaded = async (...flags: readonly string[]): Promise<readonly string[]> => {
      const file = path.join(folder, "modules");
      await rm(file, { force: true });
      await using plane = await ControlPlane.start(first);
      process.env["WEFT_TEST_MODULES"] = file;
      process.env["NODE_OPTIONS"] = `--import=${recorder}`;
      const starting = StartedAgent.start("n1", plane.grpc, ...flags);
      delete process.env["NODE_OPTIONS"];
      delete process.env["WEFT_TEST_MODULES"];
      const agent = await starting;
      await untilMetric(plane, 'weft_fleet_nodes{state="current"}', 1);
      await agent.stop();
      return (await readFile(file, "utf8")).split("\n");
    };
    try {
      const isSdk = (url: string): boolean => url.includes("opentelemetry") || url.includes("otlp-export");
      const without = await loaded();
      assert.ok(
        without.some((url) => url.endsWith("nodeagent/runtime/agent.ts")),
        "modules are recorded",
      );
      assert.deepEqual(without.filter(isSdk), []);
      assert.ok((await loaded("--otlp-endpoint", "http://127.0.0.1:1")).some(isSdk));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
