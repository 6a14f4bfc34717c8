/**
 * A cluster around a real API server: the control plane that follows it, agents with memory dataplanes, and a fault proxy between
 * API server and control plane. The control plane has the documented rights and no others.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { planFromManifests } from "@weft/cli/plan-from-manifests.ts";
import { planLines } from "@weft/nodeagent/plan/plan-line.ts";
import { planOnce } from "@weft/nodeagent/plan/plan-node.ts";
import { nodeAddresses } from "../lab/address-plan.ts";
import { expectSuccess, runCommand } from "../lab/command.ts";
import { LabProcess, nodeCommand } from "../lab/lab-process.ts";
import type { ProcessPlace } from "../lab/lab-process.ts";
import { grantDocumentedAccess } from "./documented-access.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { KubeApi } from "./kube-api.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import type { ApiAccess } from "./kubeconfig.ts";
import { namespaceObject, nodeName, nodeObject } from "./kube-objects.ts";
import { writeManifestsOfApi } from "./manifests-of-api.ts";
import { waitUntil } from "./wait-until.ts";

export interface KubeClusterOptions {
  /** Of kube-apiserver. */
  readonly apiFlags?: readonly string[];
  /** Of weft-controlplane, behind the usual ones. */
  readonly controlplaneFlags?: readonly string[];
}

export const nodes = 3;
const readyLimitMs = 30_000;
const settleLimitMs = 60_000;

export class KubeCluster implements AsyncDisposable {
  readonly api: KubeApi;
  readonly proxy: FaultProxy;
  readonly #root: string;
  readonly #controlplaneFlags: readonly string[];
  readonly #agents: LabProcess[] = [];
  /** HOST:PORT of each agent's HTTP, by number of its node. */
  readonly #agentHttp = new Map<number, string>();
  #controlplane: LabProcess | undefined;
  #grpc = "127.0.0.1:0";
  #http = "127.0.0.1:0";

  private constructor(root: string, api: KubeApi, proxy: FaultProxy, controlplaneFlags: readonly string[]) {
    this.#root = root;
    this.api = api;
    this.proxy = proxy;
    this.#controlplaneFlags = controlplaneFlags;
  }

  /** The API server with Node objects and nothing else; the rest is not started. */
  static async create({ apiFlags = [], controlplaneFlags = [] }: KubeClusterOptions = {}): Promise<KubeCluster> {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), "weft-kube-"));
    const api = await KubeApi.start({ folder: path.join(root, "api"), flags: apiFlags });
    const cluster = new KubeCluster(root, api, await FaultProxy.listen(api), controlplaneFlags);
    try {
      await cluster.prepareApi();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Nodes, the namespace of the tests, and what the control plane may do: for an API server without data. */
  async prepareApi(): Promise<void> {
    const { client } = this.api;
    await client.create(namespaceObject);
    for (let number = 1; number <= nodes; number++) await client.create(nodeObject(number));
    await this.renewToken();
  }

  /** A fresh token for the control plane, in the file that it reads. */
  async renewToken(): Promise<void> {
    const token = await grantDocumentedAccess(this.api.client);
    const fresh = `${this.tokenFile}.fresh`;
    fs.writeFileSync(fresh, token, { mode: 0o600 });
    fs.renameSync(fresh, this.tokenFile);
  }

  /** Resolves when all of them listen; agents need not be in sync. */
  async start(): Promise<void> {
    await this.startControlPlane();
    await Promise.all(Array.from({ length: nodes }, (_, i) => this.#startAgent(i + 1)));
  }

  /** Through the proxy and with the token file, if it is not told otherwise. */
  async startControlPlane({
    url = this.proxy.url,
    credential = { kind: "token-file", file: this.tokenFile },
  }: Partial<ApiAccess> = {}): Promise<void> {
    const kubeconfig = path.join(this.#root, "kubeconfig");
    writeKubeconfig(kubeconfig, { url, caFile: this.api.access.caFile, credential });
    const where = ["--kubeconfig", kubeconfig, "--listen", this.#grpc, "--http", this.#http, "--insecure"];
    const command = nodeCommand("controlplane/main.ts", ...where, ...this.#controlplaneFlags);
    this.#controlplane = LabProcess.start("weft-controlplane", command, this.#place("controlplane"));
    const ready = await this.#controlplane.lineMatching(/^ready grpc=(\S+) http=(\S+)/, readyLimitMs);
    // Ports that were 0 stay what they became, so that agents find it again after a restart.
    this.#grpc = ready[1] ?? this.#grpc;
    this.#http = ready[2] ?? this.#http;
  }

  /** Another one, in sync: waits after failures grow until there was none for two minutes, and this one had none. */
  async renewControlPlane(): Promise<void> {
    await this.killControlPlane();
    await this.startControlPlane();
    await this.becomeReady();
  }

  /** Resolves once the control plane has read everything. Agents that hold the right thing prove nothing about that. */
  async becomeReady(): Promise<void> {
    await waitUntil(async () => ((await this.isReady()) ? undefined : "/readyz: not ready"), settleLimitMs);
  }

  async killControlPlane(): Promise<void> {
    await this.#controlplane?.kill();
  }

  /** The `weft` command, beside the control plane. Its exit code must be 0. */
  async weft(...args: readonly string[]): Promise<string> {
    const command = nodeCommand("cli/main.ts", ...args, "--controlplane", this.#grpc, "--insecure");
    return expectSuccess(await runCommand(`weft ${args.join(" ")}`, command, this.#place("weft")));
  }

  /** Of the control plane's service account. */
  get tokenFile(): string {
    return path.join(this.#root, "token");
  }

  get controlplaneLog(): string {
    return fs.readFileSync(this.#place("controlplane").logFile, "utf8");
  }

  /** Sum over the labels of a metric of the control plane. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://${this.#http}/metrics`)).text();
    const samples = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, "gm"))];
    if (samples.length === 0) throw new Error(`no metric ${name}`);
    return samples.reduce((sum, [, value]) => sum + Number(value), 0);
  }

  async isReady(): Promise<boolean> {
    return (await fetch(`http://${this.#http}/readyz`)).ok;
  }

  /** Resources removed since this control plane started. */
  async removals(): Promise<number> {
    return this.metric("weft_catalog_resources_removed_total");
  }

  /** What every node's dataplane holds. */
  async dumps(): Promise<readonly string[]> {
    return Promise.all(Array.from({ length: nodes }, (_, i) => this.dump(i + 1)));
  }

  /** What the node's dataplane holds: lines of a plan. */
  async dump(number: number): Promise<string> {
    const answer = await fetch(`http://${this.#agentHttp.get(number)}/v1/dump`);
    if (!answer.ok) throw new Error(`${nodeName(number)}: ${answer.status} ${await answer.text()}`);
    return (await answer.text()).trimEnd();
  }

  /** What the first node does with packets to the service port `ns/name:port`; undefined: it does not know it. */
  async actionOf(service: string): Promise<string | undefined> {
    const lines = (await this.dump(1))
      .split("\n")
      .map((line) => JSON.parse(line) as { service: string; action: string });
    return lines.find((line) => line.service === service)?.action;
  }

  /** What the node should hold: planned from nothing, from what the API has. */
  async planFromApi(number: number): Promise<string> {
    const { input, node, refusals } = await planFromManifests(this.#manifests, {
      node: nodeName(number),
      nodeportAddresses: [],
      localClusterIps: undefined,
    });
    assert.deepEqual(refusals, []);
    return planLines(planOnce(input, node).plans.flatMap(({ frontends }) => frontends)).join("\n");
  }

  /**
   * Resolves once every agent holds what a plan from the API's objects says. Nothing may change them meanwhile.
   * @throws AssertionError with the differing lines, after `limitMs`
   */
  async settle(limitMs = settleLimitMs): Promise<void> {
    await writeManifestsOfApi(this.api.client, this.#manifests);
    for (let number = 1; number <= nodes; number++) {
      const planned = await this.planFromApi(number);
      assert.notEqual(planned, "");
      await waitUntil(async () => {
        const held = await this.dump(number);
        return held === planned ? undefined : `${nodeName(number)}: ${difference(held, planned)}`;
      }, limitMs);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of [...this.#agents, this.#controlplane]) await program?.kill();
    await this.proxy[Symbol.asyncDispose]();
    await this.api[Symbol.asyncDispose]();
    fs.rmSync(this.#root, { recursive: true, force: true });
  }

  async #startAgent(number: number): Promise<void> {
    const name = nodeName(number);
    const { v4, v6 } = nodeAddresses(number);
    const who = ["run", "--node", name, "--node-addresses", `${v4},${v6}`, "--state", path.join(this.#root, name)];
    const where = ["--controlplane", this.#grpc, "--insecure", "--http", "127.0.0.1:0", "--dataplane", "memory"];
    const agent = LabProcess.start(name, nodeCommand("nodeagent/main.ts", ...who, ...where), this.#place(name));
    this.#agents.push(agent);
    const ready = await agent.lineMatching(/^ready node=\S+ http=(\S+)/, readyLimitMs);
    this.#agentHttp.set(number, ready[1] ?? "");
  }

  get #manifests(): string {
    return path.join(this.#root, "manifests");
  }

  #place(program: string): ProcessPlace {
    return { registry: this.#root, logFile: path.join(this.#root, `${program}.log`) };
  }
}

const shownMax = 5;

// Lines that only one of the two has.
function difference(held: string, planned: string): string {
  const [has, should] = [new Set(held.split("\n")), new Set(planned.split("\n"))];
  const missing = [...should].filter((line) => !has.has(line));
  const surplus = [...has].filter((line) => !should.has(line));
  const shown = [
    ...missing.slice(0, shownMax).map((line) => `- ${line}`),
    ...surplus.slice(0, shownMax).map((line) => `+ ${line}`),
  ];
  return `${missing.length} lines missing, ${surplus.length} too many:\n${shown.join("\n")}`;
}
