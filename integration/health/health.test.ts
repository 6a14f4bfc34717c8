import assert from "node:assert/strict";
import fs from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runWeft } from "@weft/cli/run-weft.ts";
import { ControlPlane } from "@weft/controlplane/testing-control-plane.ts";
import { scrape } from "./scrape.ts";
import type { ScrapedSample } from "./scrape.ts";
import { StartedAgent } from "./started-agent.ts";

interface Endpoint {
  readonly ip: string;
  readonly node?: string;
  readonly state?: "ready" | "terminating";
}

const node = JSON.stringify({ apiVersion: "v1", kind: "Node", metadata: { name: "n1" } });

function service(name: string, clusterIP: string, healthCheckNodePort: number, policy = "Local"): string {
  // Node ports of two services must not meet.
  const nodePort = 30_000 + Number(clusterIP.split(".")[3]);
  const spec = { type: "LoadBalancer", clusterIP, externalTrafficPolicy: policy, healthCheckNodePort };
  const ports = [{ port: 80, nodePort }];
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "ns", name },
    spec: { ...spec, ports },
  });
}

/** @param trigger When its change was triggered, RFC 3339. */
function slice(of: string, endpoints: readonly Endpoint[], trigger?: string): string {
  const annotations = trigger === undefined ? {} : { "endpoints.kubernetes.io/last-change-trigger-time": trigger };
  const labels = { "kubernetes.io/service-name": of };
  return JSON.stringify({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { namespace: "ns", name: `${of}-1`, labels, annotations },
    addressType: "IPv4",
    ports: [{ port: 8080 }],
    endpoints: endpoints.map(({ ip, node: nodeName = "n1", state = "ready" }) => ({
      addresses: [ip],
      nodeName,
      conditions: { ready: state === "ready", serving: true, terminating: state === "terminating" },
    })),
  });
}

const now = (): string => new Date().toISOString();
const programming = "kubeproxy_network_programming_duration_seconds";

describe("health and metrics of the real programs", () => {
  let controlPlane: ControlPlane;
  let agent: StartedAgent;
  let port: number;

  before(async () => {
    port = await freePort();
    controlPlane = await ControlPlane.start({
      "node.json": node,
      "web.json": service("web", "10.96.0.1", port),
      "web-1.json": slice("web", [{ ip: "10.1.0.1" }], "2026-11-23T09:00:00Z"),
    });
    agent = await StartedAgent.start("n1", controlPlane.grpc);
  });

  after(async () => {
    await agent[Symbol.asyncDispose]();
    await controlPlane[Symbol.asyncDispose]();
  });

  const revision = async (): Promise<number> =>
    (await scrape(`${controlPlane.http}/metrics`)).value("weft_catalog_revision") ?? 0;

  test("a health check node port follows the endpoints of its node", async () => {
    await answers(port, "200 1");
    const steps: readonly (readonly [what: string, endpoints: readonly Endpoint[], expected: string])[] = [
      ["one more", [{ ip: "10.1.0.1" }, { ip: "10.1.0.2" }], "200 2"],
      ["one moves away", [{ ip: "10.1.0.1" }, { ip: "10.1.0.2", node: "n2" }], "200 1"],
      [
        "the last here terminates",
        [
          { ip: "10.1.0.1", state: "terminating" },
          { ip: "10.1.0.2", node: "n2" },
        ],
        "503 0",
      ],
      ["none at all", [], "503 0"],
      ["back", [{ ip: "10.1.0.1" }], "200 1"],
    ];
    for (const [what, endpoints, expected] of steps) {
      await controlPlane.write("web-1.json", slice("web", endpoints));
      await answers(port, expected, what);
    }
    await controlPlane.write("web.json", service("web", "10.96.0.1", port, "Cluster"));
    await answers(port, "refused", "policy Cluster");
    await controlPlane.write("web.json", service("web", "10.96.0.1", port));
    await answers(port, "200 1", "policy Local again");
  });

  test("network programming is measured from the trigger; the annotation alone costs nothing", async () => {
    const count = async (): Promise<number> =>
      (await scrape(`${agent.metrics}/metrics`)).value(`${programming}_count`, { ip_family: "IPv4" }) ?? Number.NaN;
    assert.equal(await count(), 0, "what stood at the start is no change");
    await controlPlane.write("web-1.json", slice("web", [{ ip: "10.1.0.1" }, { ip: "10.1.0.2" }], now()));
    await answers(port, "200 2");
    assert.equal(await count(), 1);
    const head = await revision();
    await controlPlane.write("web-1.json", slice("web", [{ ip: "10.1.0.1" }, { ip: "10.1.0.2" }], now()));
    await sleep(500);
    assert.equal(await revision(), head);
    await controlPlane.write("web-1.json", slice("web", [{ ip: "10.1.0.1" }], now()));
    await answers(port, "200 1");
    assert.equal(await revision(), head + 1);
    assert.equal(await count(), 2);
    const scraped = await scrape(`${agent.metrics}/metrics`);
    const below = (le: string): number | undefined => scraped.value(`${programming}_bucket`, { ip_family: "IPv4", le });
    assert.deepEqual([below("0"), below("60"), below("+Inf")], [0, 2, 2]);
  });

  test("a port that a program holds is a notice of its service, and holds no wait", async () => {
    await using holder = createServer().listen(0);
    const taken = (holder.address() as AddressInfo).port;
    await controlPlane.write("other.json", service("other", "10.96.0.2", taken));
    await until(
      async () => agent.stderr.includes(`health check node port ${taken} of service ns/other is not served`),
      () => agent.stderr,
    );
    const flags = ["--controlplane", controlPlane.grpc, "--insecure"];
    const waited = await runWeft("wait", ...flags, "--revision", String(await revision()), "--quorum", "100%");
    assert.equal(waited.code, 0, waited.stderr + waited.stdout);
    const status = await runWeft("status", ...flags, "-o", "json");
    assert.match(status.stdout, /"service":"ns\/other","category":"conflict","reason":"health check node port \d+ /);
    await answers(port, "200 1", "the other one is served");
    await controlPlane.write("other.json", service("other", "10.96.0.2", 0));
    await until(
      async () =>
        (await scrape(`${agent.metrics}/metrics`)).value("weft_agent_failures", { category: "conflict" }) === 0,
    );
  });

  test("they listen where NodePorts are served", async () => {
    const narrow = await freePort();
    await controlPlane.write("narrow.json", service("narrow", "10.96.0.3", narrow));
    await controlPlane.write("narrow-1.json", slice("narrow", [{ ip: "10.1.0.9", node: "n2" }]));
    const flags = ["--node-addresses", "127.0.0.2,127.0.0.3", "--nodeport-addresses", "127.0.0.3/32"];
    // The first agent listens on all addresses of this machine, those of the second one too.
    await agent[Symbol.asyncDispose]();
    await using other = await StartedAgent.start("n2", controlPlane.grpc, ...flags);
    await until(
      async () => (await ask(narrow, "127.0.0.3")) === "200 1",
      () => other.stderr,
    );
    assert.equal(await ask(narrow), "refused");
    assert.equal(await ask(narrow, "127.0.0.2"), "refused");
    await other.stop();
    agent = await StartedAgent.start("n1", controlPlane.grpc);
    await answers(port, "200 1");
  });

  test("the proxy is healthy, as kube-proxy says it, and stays so without a control plane", async () => {
    const healthy = async (): Promise<void> => {
      for (const [page, keys] of [
        ["/healthz", ["lastUpdated", "currentTime", "nodeEligible", "healthy", "status"]],
        ["/livez", ["lastUpdated", "currentTime", "healthy", "status"]],
      ] as const) {
        const response = await fetch(`${agent.healthz}${page}`);
        assert.equal(response.status, 200);
        assert.equal(response.headers.get("content-type"), "application/json");
        const body = (await response.json()) as Record<string, unknown>;
        assert.deepEqual(Object.keys(body), keys);
        assert.equal(body["healthy"], true);
      }
    };
    await healthy();
    await controlPlane.stop("SIGKILL");
    await until(async () => (await scrape(`${agent.metrics}/metrics`)).value("weft_agent_connected") === 0);
    await healthy();
    await answers(port, "200 1");
    const metrics = await scrape(`${agent.metrics}/metrics`);
    assert.equal(metrics.value("kubeproxy_proxy_healthz_total", { code: "200" }), 2);
    assert.equal(metrics.value("kubeproxy_proxy_livez_total", { code: "200" }), 2);
    assert.equal(metrics.value("kubeproxy_proxy_healthz_total", { code: "503" }), 0);
  });
});

describe("what the programs serve at /metrics", () => {
  let controlPlane: ControlPlane;
  let agent: StartedAgent;

  before(async () => {
    controlPlane = await ControlPlane.start({
      "node.json": node,
      "web.json": service("web", "10.96.0.1", 0),
      "web-1.json": slice("web", [{ ip: "10.1.0.1", node: "n2" }]),
    });
    agent = await StartedAgent.start("n1", controlPlane.grpc);
    await until(async () => (await scrape(`${agent.http}/metrics`)).value("weft_agent_active_revision") === 1);
  });

  after(async () => {
    await agent[Symbol.asyncDispose]();
    await controlPlane[Symbol.asyncDispose]();
  });

  const programs: readonly (readonly [name: string, url: () => string, some: Readonly<Record<string, string>>])[] = [
    [
      "weft-controlplane --http",
      () => controlPlane.http,
      {
        weft_catalog_commits_total: "COUNTER",
        weft_catalog_revision: "GAUGE",
        weft_catalog_commit_delay_seconds: "HISTOGRAM",
      },
    ],
    ["weft-agent --http", () => agent.http, { weft_agent_rounds_total: "COUNTER", weft_agent_connected: "GAUGE" }],
    [
      "weft-agent --metrics",
      () => agent.metrics,
      {
        kubeproxy_sync_proxy_rules_duration_seconds: "HISTOGRAM",
        kubeproxy_sync_full_proxy_rules_duration_seconds: "HISTOGRAM",
        kubeproxy_sync_partial_proxy_rules_duration_seconds: "HISTOGRAM",
        kubeproxy_sync_proxy_rules_last_timestamp_seconds: "GAUGE",
        kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds: "GAUGE",
        kubeproxy_sync_proxy_rules_endpoint_changes_pending: "GAUGE",
        kubeproxy_sync_proxy_rules_endpoint_changes_total: "COUNTER",
        kubeproxy_sync_proxy_rules_service_changes_pending: "GAUGE",
        kubeproxy_sync_proxy_rules_service_changes_total: "COUNTER",
        kubeproxy_sync_proxy_rules_no_local_endpoints_total: "GAUGE",
        kubeproxy_network_programming_duration_seconds: "HISTOGRAM",
        kubeproxy_proxy_healthz_total: "COUNTER",
        kubeproxy_proxy_livez_total: "COUNTER",
      },
    ],
  ];

  for (const [name, url, some] of programs) {
    test(`${name}: a parser that is not ours reads every line, and docs/metrics.md names every metric`, async () => {
      const { contentType, lines, families, samples } = await scrape(`${url()}/metrics`);
      assert.equal(contentType, "text/plain; version=0.0.4; charset=utf-8");
      assert.equal(samples.length, lines);
      for (const sample of samples) assert.ok(Number.isFinite(sample.value), `${sample.name} ${sample.value}`);
      for (const { name: family, help, type } of families.values()) {
        assert.ok(help !== "" && type !== "UNTYPED", family);
        if (type === "HISTOGRAM") checkHistogram(family, samples);
        else
          assert.ok(
            samples.some((sample) => sample.name === family),
            family,
          );
      }
      for (const [metric, type] of Object.entries(some)) assert.equal(families.get(metric)?.type, type, metric);
      const docs = fs.readFileSync(path.resolve(import.meta.dirname, "../../docs/metrics.md"), "utf8");
      const unnamed = [...families.keys()].filter(
        (metric) => !docs.includes(`\`${metric}\``) && !docs.includes(`\`${metric}{`),
      );
      assert.deepEqual(unnamed, []);
    });
  }

  test("the buckets of kube-proxy", async () => {
    const { samples } = await scrape(`${agent.metrics}/metrics`);
    const bounds = (name: string): readonly number[] =>
      samples
        .filter(({ name: of, labels }) => of === `${name}_bucket` && labels["ip_family"] === "IPv6")
        .map(({ labels }) => limit(labels["le"] ?? ""));
    const sync = bounds("kubeproxy_sync_proxy_rules_duration_seconds");
    assert.deepEqual([sync.length, sync[0], sync.at(-2), sync.at(-1)], [16, 0.001, 16.384, Number.POSITIVE_INFINITY]);
    const programmed = bounds(programming);
    assert.equal(programmed.length, 82);
    assert.deepEqual(programmed.slice(0, 5), [0, 0.25, 0.5, 1, 2]);
    assert.deepEqual(programmed.slice(60, 64), [58, 59, 60, 65]);
    assert.deepEqual(programmed.slice(-4), [240, 270, 300, Number.POSITIVE_INFINITY]);
  });
});

// Each series: bounds ascend to +Inf, counts never go down and end in its count.
function checkHistogram(family: string, samples: readonly ScrapedSample[]): void {
  const bySeries = new Map<string, ScrapedSample[]>();
  for (const sample of samples.filter(({ name }) => name === `${family}_bucket`)) {
    const { le: _, ...rest } = sample.labels;
    const key = JSON.stringify(rest);
    bySeries.set(key, [...(bySeries.get(key) ?? []), sample]);
  }
  assert.ok(bySeries.size > 0, family);
  for (const [key, buckets] of bySeries) {
    const bounds = buckets.map(({ labels }) => limit(labels["le"] ?? ""));
    assert.ok(
      bounds.every((bound, i) => bound > (bounds[i - 1] ?? -1)),
      `${family} ${key}`,
    );
    assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY);
    assert.ok(
      buckets.every(({ value }, i) => value >= (buckets[i - 1]?.value ?? 0)),
      `${family} ${key}`,
    );
    const of = (suffix: string): number | undefined =>
      samples.find(({ name, labels }) => name === `${family}${suffix}` && JSON.stringify(labels) === key)?.value;
    assert.equal(of("_count"), buckets.at(-1)?.value, `${family} ${key}`);
    assert.ok((of("_sum") ?? -1) >= 0, `${family} ${key}`);
  }
}

function limit(bound: string): number {
  return bound === "+Inf" ? Number.POSITIVE_INFINITY : Number(bound);
}

// "status weight", or "refused".
async function ask(port: number, host = "127.0.0.1"): Promise<string> {
  try {
    const response = await fetch(`http://${host}:${port}/healthz`);
    await response.arrayBuffer();
    return `${response.status} ${response.headers.get("x-load-balancing-endpoint-weight") ?? ""}`;
  } catch {
    return "refused";
  }
}

async function answers(port: number, expected: string, what = ""): Promise<void> {
  let last = "";
  await until(
    async () => (last = await ask(port)) === expected,
    () => `${what}: ${last} instead of ${expected}`,
  );
}

async function until(is: () => Promise<boolean>, what: () => string = () => "not within 10 s"): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!(await is())) {
    if (performance.now() > deadlineMs) assert.fail(what());
    await sleep(10);
  }
}

async function freePort(): Promise<number> {
  await using server = createServer().listen(0);
  return (server.address() as AddressInfo).port;
}
