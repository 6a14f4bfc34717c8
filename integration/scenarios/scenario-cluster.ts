/** Runs scenarios one after the other against one lab, kernel or memory. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { podAddresses } from "../lab/address-plan.ts";
import type { LabDataplane } from "../lab/ground.ts";
import { createLab } from "../lab/lab.ts";
import type { Lab } from "../lab/lab.ts";
import type { RevisionWatch } from "../lab/revision-watch.ts";
import type { TrafficClient } from "../lab/traffic.ts";
import type { Check, Connection, Scenario, ScenarioStep } from "./scenario.ts";

const pods = [
  { name: "a1", node: 1, slot: 1 },
  { name: "a2", node: 1, slot: 2 },
  { name: "b1", node: 2, slot: 1 },
  { name: "b2", node: 2, slot: 2 },
] as const;
const podPorts = "53,8080,8081,9090";

/** A service that changes with every step, after everything else: when it is live, so is the step. */
const marker = "weft-scenarios/marker";
/** So many for each expected backend: one of four that is never chosen is noticed but for 1 in 10 million runs. */
const attemptsPerOutcome = 30;
/** A refusal that takes longer is not "at once". */
const connectTimeoutMs = 1_000;

export class ScenarioCluster implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #watch: RevisionWatch;
  /** By node; empty on the memory dataplane. */
  readonly #clients: ReadonlyMap<string, TrafficClient>;
  #marks = 0;

  private constructor(lab: Lab, watch: RevisionWatch, clients: ReadonlyMap<string, TrafficClient>) {
    this.#lab = lab;
    this.#watch = watch;
    this.#clients = clients;
  }

  static async create(name: string, dataplane: LabDataplane): Promise<ScenarioCluster> {
    const lab = await createLab({ name, nodes: 2, dataplane, zones: { 1: "zone-a", 2: "zone-b" } });
    try {
      const clients = new Map<string, TrafficClient>();
      if (dataplane === "kernel") {
        await lab.startPods(pods.map((pod) => ({ name: pod.name, node: pod.node, ports: podPorts })));
        for (const node of lab.nodes)
          clients.set(node.name, await lab.startClient(`client-${node.number}`, node.number));
      }
      const watch = lab.watchRevisions();
      const cluster = new ScenarioCluster(lab, watch, clients);
      cluster.#mark();
      await watch.ready();
      return cluster;
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  async run(scenario: Scenario): Promise<void> {
    const files = new Set<string>();
    try {
      for (const step of scenario.steps) {
        for (const { file } of step.edits) files.add(file);
        await this.#play(step);
      }
    } finally {
      for (const file of files) this.#lab.manifests.remove(file);
      await this.#settle();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab.destroy();
  }

  async #play(step: ScenarioStep): Promise<void> {
    const logBefore = this.#controlplaneLog().length;
    for (const { file, text } of step.edits) {
      if (text === undefined) this.#lab.manifests.remove(file);
      else this.#lab.manifests.writeText(file, text);
    }
    await this.#settle();
    for (const check of step.checks) await this.#check(check, step.title, logBefore);
  }

  async #check(check: Check, step: string, logBefore: number): Promise<void> {
    switch (check.kind) {
      case "frontends":
        assert.deepEqual(await this.#frontends(check.node), check.lines, `${step}: frontends of ${check.node}`);
        return;
      case "connect":
        for (const connection of check.connections) await this.#connect(check.node, connection, step);
        return;
      case "log": {
        const said = this.#controlplaneLog().slice(logBefore);
        for (const text of check.texts)
          assert.ok(said.includes(text), `${step}: "${text}" is not in the log:\n${said}`);
        return;
      }
    }
  }

  async #connect(node: string, connection: Connection, step: string): Promise<void> {
    const client = this.#clients.get(node);
    if (client === undefined) return;
    const { transport, address, port, outcomes } = connection;
    const target = { name: "scenario", transport, address, port };
    const answers = await client.probe(target, attemptsPerOutcome * outcomes.length, connectTimeoutMs);
    const seen = new Set(answers.map((answer) => answer.replace(/^!/, "").replace(/^(\S+) (\d+)$/, "$1:$2")));
    assert.deepEqual([...seen].toSorted(), outcomes, `${step}: ${transport} ${address} port ${port} from ${node}`);
  }

  // "ADDRESS:PORT/PROTOCOL SERVICE ACTION BACKENDS" of what the node serves inside on ClusterIPs, backends by pod.
  async #frontends(nodeName: string): Promise<readonly string[]> {
    const node = this.#lab.nodes.find(({ name }) => name === nodeName);
    assert.ok(node !== undefined, `no ${nodeName}`);
    const dump = await node.dump();
    return dump
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as PlanLine)
      .filter((line) => line.scope === "internal" && line.kind === "ClusterIP" && line.service !== marker)
      .map((line) => {
        const address = line.address.includes(":") ? `[${line.address}]` : line.address;
        const backends = line.backends.map(podName).toSorted();
        return [`${address}:${line.port}/${line.protocol}`, line.service, line.action, ...backends].join(" ");
      })
      .toSorted();
  }

  async #settle(): Promise<void> {
    const before = this.#watch.head;
    this.#mark();
    await this.#watch.settled(marker, before);
  }

  #mark(): void {
    this.#marks++;
    const [namespace = "", name = ""] = marker.split("/");
    const ports = [{ name: "", protocol: "TCP" as const, port: 1 + (this.#marks % 60_000), targetPort: 1 }];
    this.#lab.manifests.writeServices("zz-marker.yaml", [
      { namespace, name, clusterIps: ["10.96.255.254"], ports, endpoints: [] },
    ]);
  }

  #controlplaneLog(): string {
    return fs.readFileSync(path.join(this.#lab.logs, "control.log"), "utf8");
  }
}

interface PlanLine {
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly kind: string;
  readonly scope: string;
  readonly service: string;
  readonly action: string;
  readonly backends: readonly string[];
}

function podName(backend: string): string {
  const colon = backend.lastIndexOf(":");
  const address = backend.slice(0, colon).replace(/^\[|\]$/g, "");
  const pod = pods.find(({ node, slot }) => Object.values(podAddresses(node, slot)).some((own) => own === address));
  return pod === undefined ? backend : `${pod.name}${backend.slice(colon)}`;
}
