import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { encodedBackend, encodedService } from "../sync/described-resources.ts";
import type { EncodedResource } from "../sync/described-resources.ts";
import { delta, snapshot } from "../runtime/fake-control-plane.ts";
import type { Response } from "../runtime/fake-control-plane.ts";
import { AgentLab, SteeredDataplane } from "../runtime/test-agents.ts";

const web = encodedService({ name: "ns/web", clusterIps: ["10.96.0.1"] });
const backend = (last: number): EncodedResource =>
  encodedBackend({ service: "ns/web", address: `10.1.0.${last}`, node: "n2" });

const isAt =
  (at: number) =>
  (ack: Ack): boolean =>
    ack.revision === BigInt(at);

interface Times {
  readonly ipv4?: readonly number[];
  readonly ipv6?: readonly number[];
}

function triggered(response: Response, { ipv4 = [], ipv6 = [] }: Times): Response {
  return {
    delta: {
      ...response.delta,
      ipv4TriggerTimesMs: ipv4.map((ms) => BigInt(Math.round(ms))),
      ipv6TriggerTimesMs: ipv6.map((ms) => BigInt(Math.round(ms))),
    } as NonNullable<Response["delta"]>,
  };
}

const programming = "kubeproxy_network_programming_duration_seconds";
const counted = (lab: AgentLab, family = "IPv4"): number => lab.count(`${programming}_count{ip_family="${family}"}`);
const start = performance.timeOrigin;

describe("network programming duration", () => {
  it("is observed once for each trigger of a delta, by family", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(triggered(snapshot(1, [web, backend(1)]), { ipv4: [Date.now()], ipv6: [Date.now()] }));
    await stream.ack(isAt(1));
    assert.deepEqual([counted(lab), counted(lab, "IPv6")], [0, 0], "a snapshot carries none");
    stream.send(triggered(delta(1, 2, [backend(2)]), { ipv4: [Date.now() - 20, Date.now() - 10], ipv6: [Date.now()] }));
    await stream.ack(isAt(2));
    assert.deepEqual([counted(lab), counted(lab, "IPv6")], [2, 1]);
    assert.equal(lab.count(`${programming}_bucket{ip_family="IPv4",le="0"}`), 0);
    assert.equal(lab.count(`${programming}_bucket{ip_family="IPv4",le="300"}`), 2);
    stream.send(delta(2, 3, [backend(3)]));
    await stream.ack(isAt(3));
    assert.deepEqual([counted(lab), counted(lab, "IPv6")], [2, 1], "a delta without any");
  });

  it("leaves out what came before this process, and takes a clock ahead for no time at all", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(1, [web]));
    stream.send(triggered(delta(1, 2, [backend(2)]), { ipv4: [1, start - 1_000, Date.now() + 60_000] }));
    await stream.ack(isAt(2));
    assert.equal(counted(lab), 1);
    assert.equal(lab.count(`${programming}_bucket{ip_family="IPv4",le="0"}`), 1);
  });

  it("counts a trigger of several parts once, and not one of a delta that was not completed", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const first = await lab.plane.stream();
    await first.greet();
    first.send(snapshot(1, [web]));
    await first.ack(isAt(1));
    const parts = (part: number, resource: EncodedResource): Response => ({
      delta: { from: 1n, to: 2n, part, parts: 2, resources: [resource.bytes] },
    });
    first.send(triggered(parts(0, backend(1)), { ipv4: [Date.now()] }));
    first.end();
    const second = await lab.plane.stream();
    const hello = await second.greet();
    assert.equal(hello.cursor?.revision, 1n);
    second.send(triggered(parts(0, backend(1)), { ipv4: [Date.now()] }));
    second.send(parts(1, backend(2)));
    await second.ack(isAt(2));
    assert.equal(counted(lab), 1);
  });

  it("is observed when it is live at last, also of deltas that became one round", async () => {
    await using lab = await AgentLab.start();
    const dataplane = new SteeredDataplane();
    await lab.agent({ dataplane });
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(1, [web]));
    await stream.ack(isAt(1));
    dataplane.failNext();
    const release = dataplane.holdNext();
    stream.send(triggered(delta(1, 2, [backend(2)]), { ipv4: [Date.now()] }));
    await dataplane.held;
    stream.send(triggered(delta(2, 3, [backend(3)]), { ipv4: [Date.now()] }), {
      heartbeat: { sequence: 1n, revision: 3n },
    });
    await stream.ack((ack) => ack.heartbeat === 1n);
    assert.equal(counted(lab), 0);
    assert.equal(lab.count("kubeproxy_sync_proxy_rules_endpoint_changes_pending"), 2);
    release();
    await stream.ack(isAt(3));
    assert.equal(counted(lab), 2);
    assert.equal(lab.count("kubeproxy_sync_proxy_rules_endpoint_changes_pending"), 0);
    assert.equal(lab.count("kubeproxy_sync_proxy_rules_endpoint_changes_total"), 2);
  });
});

describe("the other metrics of kube-proxy", () => {
  it("count changes and rounds, and services without a local endpoint", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    const local = encodedService({
      name: "ns/local",
      clusterIps: ["10.96.0.2", "fd00:96::2"],
      internalLocal: true,
      externalLocal: true,
      ports: [{ port: 80, nodePort: 30_080 }],
    });
    const remote = encodedBackend({ service: "ns/local", address: "10.1.0.5", node: "n2" });
    const noLocal = (family: string, policy: string): number =>
      lab.count(
        `kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="${family}",traffic_policy="${policy}"}`,
      );
    stream.send(snapshot(1, [web, backend(1), local, remote]));
    await stream.ack(isAt(1));
    assert.equal(lab.count("kubeproxy_sync_proxy_rules_service_changes_total"), 2);
    assert.equal(lab.count("kubeproxy_sync_proxy_rules_endpoint_changes_total"), 2);
    const rounds = lab.count('kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv6"}');
    assert.equal(rounds, lab.count("weft_agent_rounds_total"));
    // IPv6 has no endpoint anywhere: rejected, which is no matter of the policy.
    assert.deepEqual([noLocal("IPv4", "internal"), noLocal("IPv4", "external")], [1, 1]);
    assert.deepEqual([noLocal("IPv6", "internal"), noLocal("IPv6", "external")], [0, 0]);
    const queued = lab.count('kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"}');
    const synced = lab.count('kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"}');
    assert.ok(queued >= start / 1_000 && synced >= queued && synced <= Date.now() / 1_000 + 1);
    stream.send(delta(1, 2, [encodedBackend({ service: "ns/local", address: "10.1.0.6", node: "n1" })]));
    await stream.ack(isAt(2));
    assert.deepEqual([noLocal("IPv4", "internal"), noLocal("IPv4", "external")], [0, 0]);
    stream.send(delta(2, 3, [], [local]));
    await stream.ack(isAt(3));
    assert.deepEqual([noLocal("IPv4", "internal"), noLocal("IPv4", "external")], [0, 0]);
    assert.equal(lab.count("kubeproxy_sync_proxy_rules_service_changes_total"), 3);
    assert.equal(lab.count("kubeproxy_sync_proxy_rules_endpoint_changes_total"), 5);
    const partial = 'kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv4"}';
    const full = 'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"}';
    assert.equal(lab.count(partial) + lab.count(full), lab.count("weft_agent_rounds_total"));
  });
});
