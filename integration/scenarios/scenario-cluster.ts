/** Runs scenarios one after the other against one lab, kernel or memory. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { nodeAddresses, podAddresses } from "../lab/address-plan.ts";
import { expectSuccess } from "../lab/command.ts";
import type { LabDataplane } from "../lab/ground.ts";
import type { LabNode } from "../lab/lab-node.ts";
import { createLab } from "../lab/lab.ts";
import type { Lab } from "../lab/lab.ts";
import type { RevisionWatch } from "../lab/revision-watch.ts";
import { ScenarioClients } from "./scenario-clients.ts";
import type { Check, Edit, Scenario, ScenarioStep } from "./scenario.ts";

const pods = [
  { name: "a1", node: 1, slot: 1 },
  { name: "a2", node: 1, slot: 2 },
  { name: "b1", node: 2, slot: 1 },
  { name: "b2", node: 2, slot: 2 },
] as const;
const podPorts = "53,8080,8081,9090";
const echoPorts = "7000";
/** Pods in the namespaces of the nodes. */
const hostPods = [
  { name: "h1", node: 1 },
  { name: "h2", node: 2 },
] as const;
const assignedDevice = "assigned";

/** A service that changes with every step, after everything else: when it is live, so is the step. */
const marker = "weft-scenarios/marker";
/** Agents look at the addresses of their node every few seconds. */
const assignedLimitMs = 15_000;
const pollMs = 200;

export class ScenarioCluster implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #watch: RevisionWatch;
  /** Undefined on the memory dataplane. */
  readonly #clients: ScenarioClients | undefined;
  readonly #assigned = new Set<string>();
  #marks = 0;

  private constructor(lab: Lab, watch: RevisionWatch, clients: ScenarioClients | undefined) {
    this.#lab = lab;
    this.#watch = watch;
    this.#clients = clients;
  }

  static async create(name: string, dataplane: LabDataplane): Promise<ScenarioCluster> {
    const lab = await createLab({ name, nodes: 2, dataplane, zones: { 1: "zone-a", 2: "zone-b" } });
    try {
      let clients: ScenarioClients | undefined;
      if (dataplane === "kernel") {
        const listening = lab.startPods(
          pods.map(({ name: pod, node }) => ({ name: pod, node, ports: podPorts, echoPorts })),
        );
        clients = new ScenarioClients(lab);
        const onHost = hostPods.map((pod) => lab.startHostPod({ ...pod, ports: podPorts, echoPorts }));
        await Promise.all([listening, ...onHost]);
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
      if (scenario.agentFlags.length > 0) await this.#restartAgents(scenario.agentFlags);
      for (const step of scenario.steps) {
        for (const edit of step.edits) if (edit.kind === "write") files.add(edit.file);
        await this.#play(step);
      }
    } finally {
      for (const file of files) this.#lab.manifests.remove(file);
      if (files.has("nodes.yaml")) this.#lab.writeNodes();
      for (const node of this.#assigned) this.#assign(node, []);
      await this.#clients?.release();
      if (scenario.agentFlags.length > 0) await this.#restartAgents([]);
      await this.#settle();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab.destroy();
  }

  async #play(step: ScenarioStep): Promise<void> {
    const logs = new Map(this.#logNames().map((name) => [name, this.#log(name).length]));
    for (const edit of step.edits) await this.#edit(edit);
    await this.#settle();
    const isSoon = step.edits.some((edit) => edit.kind === "assign");
    for (const check of step.checks) await this.#check(check, step.title, logs, isSoon ? assignedLimitMs : 0);
  }

  async #edit(edit: Edit): Promise<void> {
    switch (edit.kind) {
      case "write":
        this.#lab.manifests.writeText(edit.file, edit.text);
        return;
      case "remove":
        this.#lab.manifests.remove(edit.file);
        return;
      case "assign":
        this.#assign(edit.node, edit.addresses);
        return;
      case "restart": {
        const node = this.#node(edit.node);
        await node.agent.kill();
        await node.startAgent();
        return;
      }
    }
  }

  // `limitMs`: how long it may take until it is so.
  async #check(check: Check, step: string, logs: ReadonlyMap<string, number>, limitMs: number): Promise<void> {
    const clients = this.#clients;
    switch (check.kind) {
      case "frontends": {
        const read = async (): Promise<readonly string[]> => this.#frontends(check.node);
        assert.deepEqual(await awaited(read, check.lines, limitMs), check.lines, `${step}: frontends of ${check.node}`);
        return;
      }
      case "failures":
        assert.deepEqual(await this.#failures(check.node), check.lines, `${step}: failures of ${check.node}`);
        return;
      case "log": {
        // What an agent says of connections needs some.
        if (check.node !== undefined && clients === undefined) return;
        const name = check.node ?? "control";
        const said = this.#log(name).slice(logs.get(name));
        for (const text of check.texts)
          assert.ok(said.includes(text), `${step}: "${text}" is not in the log of ${name}:\n${said}`);
        return;
      }
      case "connect":
        for (const connection of check.connections)
          for (const place of check.places)
            await clients?.connect(this.#node(check.node).number, place, connection, step);
        return;
      case "open":
        for (const opening of check.openings)
          await clients?.open(this.#node(check.node).number, check.place, opening, step);
        return;
      case "use":
        for (const use of check.uses) await clients?.use(use, step);
        return;
      case "bind":
        for (const attempt of check.attempts)
          await clients?.bind(this.#node(check.node).number, check.place, attempt, step);
        return;
      case "pause":
        if (clients !== undefined) await delay(check.ms);
        return;
    }
  }

  #node(name: string): LabNode {
    return this.#lab.nodes.find((node) => node.name === name) ?? assert.fail(`no ${name}`);
  }

  // Every line of what the node serves inside, in the words of a scenario; backends by pod.
  async #frontends(nodeName: string): Promise<readonly string[]> {
    const dump = await this.#node(nodeName).dump();
    return dump
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as PlanLine)
      .filter((line) => line.scope === "internal" && line.protocol !== "SCTP" && line.service !== marker)
      .map((line) => {
        const address = line.address.includes(":") ? `[${line.address}]` : line.address;
        const kind = line.kind === "ClusterIP" ? [] : [line.kind];
        const backends = line.backends.map(podName).toSorted();
        return [`${address}:${line.port}/${line.protocol}`, ...kind, line.service, line.action, ...backends].join(" ");
      })
      .toSorted();
  }

  async #failures(nodeName: string): Promise<readonly string[]> {
    const status = JSON.parse(expectSuccess(await this.#lab.weft(["status", "-o", "json"]))) as FleetStatus;
    const node =
      status.nodes.find(({ node: name }) => name === nodeName) ?? assert.fail(`no ${nodeName} in the status`);
    return node.failures.map(({ category, service }) => `${category} ${service}`).toSorted();
  }

  // A down device, as NodeLocal DNSCache has it: the kernel takes its addresses as its own all the same.
  #assign(node: string, addresses: readonly string[]): void {
    const { number } = this.#node(node);
    if (this.#assigned.has(node)) this.#lab.configureNode(number, [`link del ${assignedDevice}`]);
    this.#assigned.delete(node);
    if (addresses.length === 0) return;
    const lines = addresses.map(
      (address) => `addr add ${address} dev ${assignedDevice}${address.includes(":") ? " nodad" : ""}`,
    );
    this.#lab.configureNode(number, [`link add ${assignedDevice} type bridge`, ...lines]);
    this.#assigned.add(node);
  }

  async #restartAgents(flags: readonly string[]): Promise<void> {
    await Promise.all(
      this.#lab.nodes.map(async (node) => {
        await node.agent.stop();
        await node.startAgent(flags);
      }),
    );
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

  #logNames(): readonly string[] {
    return ["control", ...this.#lab.nodes.map(({ name }) => name)];
  }

  #log(name: string): string {
    return fs.readFileSync(path.join(this.#lab.logs, `${name}.log`), "utf8");
  }
}

// `read` until it gives `expected`, for `limitMs` at most.
async function awaited<T>(read: () => Promise<T>, expected: T, limitMs: number): Promise<T> {
  const began = performance.now();
  for (;;) {
    const seen = await read();
    if (isDeepStrictEqual(seen, expected) || performance.now() - began >= limitMs) return seen;
    await delay(pollMs);
  }
}

interface FleetStatus {
  readonly nodes: readonly {
    readonly node: string;
    readonly failures: readonly { readonly service: string; readonly category: string }[];
  }[];
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
  const all = [
    ...pods.map(({ name, node, slot }) => ({ name, addresses: podAddresses(node, slot) })),
    ...hostPods.map(({ name, node }) => ({ name, addresses: nodeAddresses(node) })),
  ];
  const pod = all.find(({ addresses }) => Object.values(addresses).some((own) => own === address));
  return pod === undefined ? backend : `${pod.name}${backend.slice(colon)}`;
}
