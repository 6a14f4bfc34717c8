import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { digestBuckets } from "@weft/proto/digest.ts";
import { hash64 } from "@weft/proto/hash.ts";
import { createLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import type { AuditStep, ServicePlan } from "../dataplane/dataplane.ts";
import { MemoryDataplane } from "../dataplane/memory/memory-dataplane.ts";
import type { PlanDifference } from "../dataplane/plan-difference.ts";
import { planNode } from "../plan/plan-input.ts";
import { NodePlanner } from "../plan/plan-node.ts";
import { encodedBackend, encodedService } from "../sync/described-resources.ts";
import type { EncodedResource } from "../sync/described-resources.ts";
import { keepBytes } from "../sync/kept-bytes.ts";
import { readPart } from "../sync/received-resource.ts";
import type { HeldResources } from "../sync/held-resources.ts";
import { headerBytes } from "../sync/state-codec.ts";
import { Store } from "../sync/store.ts";
import { AuditMetrics } from "./audit-metrics.ts";
import { Auditor } from "./auditor.ts";
import { AgentLab } from "./test-agents.ts";

const web = encodedService({ name: "ns/web", clusterIps: ["10.96.0.1"] });
const web1 = encodedBackend({ service: "ns/web", address: "10.1.0.1" });
const web2 = encodedBackend({ service: "ns/web", address: "10.1.0.2" });

/** Finds what it is told to, once, in one step. */
class ChangedDataplane extends MemoryDataplane {
  readonly #steps: AuditStep[];
  constructor(steps: readonly AuditStep[]) {
    super();
    this.#steps = [...steps];
  }

  override audit(): AuditStep {
    const step = this.#steps.shift() ?? { findings: [], isEnd: true };
    if (step.findings.length === 1) throw new Error("cannot read the elements of a map: EIO");
    return step;
  }
}

describe("audit", () => {
  it("names and counts what it finds, the first of a pass one by one, and goes on after an error", async () => {
    const finding = {
      map: "states",
      kind: "differs",
      service: "ns/web",
      entry: "10.96.0.1 80",
      failure: undefined,
    } as const;
    const findings = Array.from({ length: 20 }, (_, i) => (i === 0 ? { ...finding, failure: "refused" } : finding));
    const unreadable = { findings: [finding], isEnd: false };
    const lines: string[] = [];
    const metrics = new Metrics();
    const stop = new AbortController();
    const auditMetrics = new AuditMetrics(metrics);
    assert.match(metrics.print(), /weft_agent_audit_findings_total\{map="links",kind="missing"\} 0\n/);
    const passDone = auditMetrics.passDone.bind(auditMetrics);
    auditMetrics.passDone = (seconds) => {
      passDone(seconds);
      stop.abort();
    };
    await new Auditor({
      dataplane: new ChangedDataplane([unreadable, { findings, isEnd: false }]),
      store: storeOf([web, web1]),
      intervalMs: 20,
      log: createLog({ logLevel: "info", logFormat: "text", write: (line) => lines.push(line) }),
      metrics: auditMetrics,
      rounds: { plannerAtRest: new NodePlanner(new Store(), planNode("n1", "", [])), planAgain: () => undefined },
      agreements: () => 0,
      onDigestCorrected: () => assert.fail("its digest is right"),
    }).run(stop.signal);
    const printed = metrics.print();
    assert.match(printed, /weft_agent_audit_findings_total\{map="states",kind="differs"\} 20\n/);
    assert.match(printed, /weft_agent_audit_repair_failures_total 1\n/);
    assert.match(printed, /weft_agent_audit_errors_total 1\n/);
    assert.match(printed, /weft_agent_audit_passes_total 1\n/);
    assert.equal(lines.filter((line) => /map states.*10\.96\.0\.1 80.*ns\/web/.test(line)).length, 16);
    assert.equal(lines.filter((line) => /not repaired: refused/.test(line)).length, 1);
    assert.equal(lines.filter((line) => /found=20/.test(line)).length, 1);
  });

  it("finds buckets whose digest is not that of their bytes, and corrects them and the root", () => {
    const store = storeOf([web, web1]);
    const right = storeOf([web, web2]).digest;
    assert.deepEqual(store.auditDigest(0, digestBuckets), []);
    const held = store.resources() as HeldResources;
    const first = held.get(web1.id);
    assert.ok(first?.kind === "backend");
    held.set(web1.id, { ...first, bytes: keepBytes(web2.bytes) });
    const bucket = Number(BigInt.asUintN(10, web1.id));
    assert.deepEqual(store.auditDigest(bucket, bucket + 1), [bucket]);
    assert.deepEqual(store.auditDigest(0, digestBuckets), []);
    assert.equal(store.digest, right);
  });

  it("plans nothing again from bytes that are not those of the digest with which a heartbeat agreed", async () => {
    const store = storeOf([web, web1]);
    const planner = new NodePlanner(store, planNode("n1", "", []));
    planner.replanAll();
    const metrics = new Metrics();
    const auditMetrics = new AuditMetrics(metrics);
    const stop = new AbortController();
    let corrections = 0;
    let passes = 0;
    auditMetrics.passDone = () => {
      if (++passes === 3) stop.abort();
    };
    const dataplane = new MemoryDataplane();
    let isSpoilt = false;
    // Within the look at plans, so behind the one at the digest.
    const compare = (plan: ServicePlan): readonly PlanDifference[] => {
      const held = store.resources() as HeldResources;
      const backend = held.get(web1.id);
      if (!isSpoilt && backend?.kind === "backend") held.set(web1.id, { ...backend, bytes: keepBytes(web2.bytes) });
      isSpoilt = true;
      return dataplane.compare(plan);
    };
    await new Auditor({
      dataplane: Object.assign(new MemoryDataplane(), { compare }),
      store,
      intervalMs: 20,
      log: createLog({ logLevel: "error", logFormat: "text", write: () => undefined }),
      metrics: auditMetrics,
      rounds: { plannerAtRest: planner, planAgain: () => assert.fail("the bytes are wrong") },
      agreements: () => (isSpoilt ? 1 : 0),
      onDigestCorrected: () => corrections++,
    }).run(stop.signal);
    assert.equal(corrections, 1);
    assert.match(metrics.print(), /weft_agent_audit_errors_total 0\n/);
  });

  it("has the agent ack the digest of what it really holds", async () => {
    await using lab = await AgentLab.start();
    const stateFolder = mkdtempSync(join(tmpdir(), "weft-audit-"));
    try {
      const first = await lab.agent({ stateFolder });
      const before = await lab.plane.stream();
      await before.greet();
      before.send({ delta: { to: 5n, scope: { everything: true }, resources: [web.bytes, web1.bytes] } });
      await before.ack((ack) => ack.revision === 5n);
      await first.stop();
      breakHash(join(stateFolder, "state.weft"));
      const wrong = await lab.agent({ stateFolder, auditIntervalMs: 20 });
      const stream = await lab.plane.stream();
      await stream.greet();
      await stream.ack((ack) => ack.revision === 5n && ack.digest === storeOf([web, web1]).digest);
      assert.equal(wrong.agent.digest, storeOf([web, web1]).digest);
      assert.equal(lab.count("weft_agent_audit_store_mismatches_total"), 1);
    } finally {
      rmSync(stateFolder, { recursive: true });
    }
  });
});

function storeOf(resources: readonly EncodedResource[]): Store {
  const reading = readPart({ removed: [], resources: resources.map(({ bytes }) => bytes) });
  assert.ok(reading.kind === "part");
  const store = new Store();
  store.commit([reading.part], "nothing");
  return store;
}

// The hash of the first resource, under a right checksum.
function breakHash(path: string): void {
  const bytes = readFileSync(path);
  const tagPuts = 1;
  const hashInRecord = 12 + 1 + 25;
  let at = headerBytes;
  while (bytes[at + 12] !== tagPuts) at += 12 + bytes.readUInt32LE(at);
  bytes[at + hashInRecord] = (bytes[at + hashInRecord] ?? 0) ^ 0xff;
  const { low, high } = hash64(bytes.subarray(at + 12, at + 12 + bytes.readUInt32LE(at)));
  bytes.writeUInt32LE(low, at + 4);
  bytes.writeUInt32LE(high, at + 8);
  writeFileSync(path, bytes);
}
