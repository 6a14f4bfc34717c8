/** Mass removals with the real programs: a folder that loses its services, an agent on the memory dataplane, the weft command. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { runWeft } from "@weft/cli/run-weft.ts";
import { LabProcess, nodeCommand } from "../lab/lab-process.ts";

const waitMs = 20_000;
const readyWaitMs = 30_000;
const twelve = Array.from({ length: 12 }, (_, i) => `s${String(i).padStart(2, "0")}`);
const others = twelve.map((name) => name.replace("s", "other"));

interface Status {
  readonly revision: number;
  readonly nodes: readonly {
    readonly connected: boolean;
    readonly applied: number;
    readonly failures: readonly { readonly service: string; readonly category: string; readonly reason: string }[];
  }[];
  readonly heldRemoval?: { readonly services: number; readonly ofServices: number; readonly serviceNames: string[] };
}

function manifest(name: string, i: number): string {
  return `apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {clusterIP: 10.96.${name.startsWith("s") ? 0 : 1}.${i + 1}, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}-1, namespace: shop, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.${i + 1}]}]
`;
}

/** One control plane and one agent, over a folder of one file per service. */
class Pair implements AsyncDisposable {
  readonly folder: string;
  readonly #root: string;
  #plane: LabProcess | undefined;
  #agent: LabProcess | undefined;
  #grpc = "127.0.0.1:0";
  #http = "";
  #agentHttp = "";

  private constructor(root: string) {
    this.#root = root;
    this.folder = path.join(root, "manifests");
  }

  /** Resolves when the agent serves `names`. */
  static async start(names: readonly string[], ...flags: readonly string[]): Promise<Pair> {
    const pair = new Pair(await mkdtemp(path.join(tmpdir(), "weft-mass-removal-")));
    await mkdir(path.join(pair.#root, "processes"));
    await pair.replaceFolder(names);
    await pair.startPlane(...flags);
    const state = path.join(pair.#root, "state");
    const run = ["run", "--node", "n1", "--controlplane", pair.#grpc, "--dataplane", "memory", "--insecure"];
    pair.#agent = pair.#spawn("weft-agent", "nodeagent/main.ts", ...run, "--state", state, "--http", "127.0.0.1:0");
    pair.#agentHttp = (await pair.#agent.lineMatching(/^ready .*http=(\S+)/, readyWaitMs))[1] ?? "";
    await pair.serves(names);
    return pair;
  }

  /** On the address that it had before, if it had one. */
  async startPlane(...flags: readonly string[]): Promise<void> {
    const args = ["--manifests", this.folder, "--listen", this.#grpc, "--http", "127.0.0.1:0", "--insecure", ...flags];
    this.#plane = this.#spawn("weft-controlplane", "controlplane/main.ts", ...args);
    const [, grpc, http] = await this.#plane.lineMatching(/^ready grpc=(\S+) http=(\S+)/, readyWaitMs);
    this.#grpc = grpc ?? this.#grpc;
    this.#http = http ?? "";
  }

  async killPlane(): Promise<void> {
    await this.#plane?.kill();
  }

  /** As a deployment does: another folder is put in its place at once. */
  async replaceFolder(names: readonly string[]): Promise<void> {
    const next = path.join(this.#root, "next");
    await mkdir(next);
    for (const [i, name] of names.entries()) await writeFile(path.join(next, `${name}.yaml`), manifest(name, i));
    const old = await mkdtemp(path.join(this.#root, "old-"));
    await rename(this.folder, path.join(old, "manifests")).catch(() => undefined);
    await rename(next, this.folder);
  }

  async weft(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runWeft(...args, "--controlplane", this.#grpc, "--insecure");
    assert.deepEqual([code, stderr], [0, ""]);
    return stdout;
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.weft("status", "-o", "json")) as Status;
  }

  /** Resolves once the status is so; @returns It. */
  async statusWhere(is: (status: Status) => boolean): Promise<Status> {
    for (const untilMs = performance.now() + waitMs; ; await delay(100)) {
      const status = await this.status();
      if (is(status)) return status;
      assert.ok(performance.now() < untilMs, `waited in vain, the status is ${JSON.stringify(status)}`);
    }
  }

  /** Names of the services that the agent serves. */
  async served(): Promise<readonly string[]> {
    const lines = (await (await fetch(`http://${this.#agentHttp}/v1/dump`)).text())
      .split("\n")
      .filter((line) => line !== "");
    const forwarding = lines
      .map((line) => JSON.parse(line) as { readonly service: string; readonly action: string })
      .filter(({ action }) => action === "forward");
    return [...new Set(forwarding.map(({ service }) => service.replace("shop/", "")))].toSorted();
  }

  /** Resolves once the agent serves exactly these. */
  async serves(names: readonly string[]): Promise<void> {
    const wanted = names.toSorted().join();
    let served = "";
    for (const untilMs = performance.now() + waitMs; performance.now() < untilMs; await delay(50)) {
      served = (await this.served()).join();
      if (served === wanted) return;
    }
    assert.equal(served, wanted);
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://${this.#http}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  }

  /** Resolves once a sample of the control plane has this value: much sooner than by `weft status`. */
  async metricIs(name: string, value: number): Promise<void> {
    let seen = Number.NaN;
    for (const untilMs = performance.now() + waitMs; performance.now() < untilMs; await delay(20)) {
      seen = await this.metric(name);
      if (seen === value) return;
    }
    assert.equal(seen, value, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#plane?.kill(), this.#agent?.kill()]);
    await rm(this.#root, { recursive: true, force: true });
  }

  #spawn(name: string, file: string, ...args: readonly string[]): LabProcess {
    const place = { registry: path.join(this.#root, "processes"), logFile: path.join(this.#root, `${name}.log`) };
    return LabProcess.start(name, nodeCommand(file, ...args), place);
  }
}

describe("a folder of 12 services", { concurrency: 1 }, () => {
  test("is emptied, filled again, swapped for a wrong one and back: nothing is removed before it is confirmed", async () => {
    await using pair = await Pair.start(twelve);
    await pair.replaceFolder([]);
    const { heldRemoval } = await pair.statusWhere((status) => status.heldRemoval !== undefined);
    assert.deepEqual([heldRemoval?.services, heldRemoval?.ofServices], [12, 12]);
    assert.equal(await pair.metric("weft_source_mass_removal_services"), 12);
    assert.match(await pair.weft("status"), /^MASS REMOVAL HELD: the source lacks 12 of 12 services/m);
    await pair.serves(twelve);
    await pair.replaceFolder(twelve);
    await pair.statusWhere((status) => status.heldRemoval === undefined);
    assert.equal(await pair.weft("confirm-removal"), "nothing is held\n");
    await pair.serves(twelve);

    await pair.replaceFolder(others);
    await pair.serves([...twelve, ...others]);
    assert.equal((await pair.status()).heldRemoval?.services, 12);
    await pair.replaceFolder(twelve);
    await pair.serves(twelve);
    assert.equal((await pair.status()).heldRemoval, undefined);

    await pair.replaceFolder(others);
    await pair.serves([...twelve, ...others]);
    assert.match(await pair.weft("confirm-removal"), /^confirmed: 12 of 12 services are removed: shop\/s00, /);
    await pair.serves(others);
    assert.equal((await pair.status()).heldRemoval, undefined);
  });

  test("is empty when the control plane is started again: the agent gets no state until that is confirmed", async () => {
    await using pair = await Pair.start(twelve);
    await pair.killPlane();
    await pair.replaceFolder([]);
    await pair.startPlane();
    const held = await pair.statusWhere(({ nodes }) => nodes[0]?.failures.length === 1);
    assert.deepEqual([held.nodes[0]?.connected, held.nodes[0]?.applied], [true, 0]);
    assert.equal(held.nodes[0]?.failures[0]?.category, "mass_removal_held");
    assert.match(
      held.nodes[0]?.failures[0]?.reason ?? "",
      /lists 0 services and this node holds 12.*weft confirm-removal/,
    );
    assert.equal(await pair.metric("weft_fanout_mass_removal_agents"), 1);
    await pair.serves(twelve);
    assert.equal(await pair.weft("confirm-removal"), "confirmed for 1 node: n1\n");
    await pair.serves([]);
    const after = await pair.statusWhere(({ nodes }) => nodes[0]?.applied === 1);
    assert.deepEqual(after.nodes[0]?.failures, []);
  });

  test("is a wrong one when the control plane is started again: the agent itself refuses it", async () => {
    await using pair = await Pair.start(twelve);
    await pair.killPlane();
    await pair.replaceFolder(others);
    await pair.startPlane();
    const held = await pair.statusWhere(({ nodes }) => nodes[0]?.failures.length === 1);
    assert.match(held.nodes[0]?.failures[0]?.reason ?? "", /would remove 12 of the 12 services .*weft confirm-removal/);
    // Heartbeats go on, and what is committed meanwhile is not sent.
    await pair.replaceFolder([...others, "more"]);
    await pair.statusWhere(({ revision }) => revision === 2);
    await pair.serves(twelve);
    assert.equal(await pair.weft("confirm-removal"), "confirmed for 1 node: n1\n");
    await pair.serves([...others, "more"]);
    await pair.statusWhere(({ nodes }) => nodes[0]?.applied === 2 && nodes[0].failures.length === 0);
  });

  test("is emptied for good: the removal goes on after the hold time, on a running control plane and on a fresh one", async () => {
    await using pair = await Pair.start(twelve, "--mass-removal-hold", "4s");
    await pair.replaceFolder([]);
    await pair.metricIs("weft_source_mass_removal_services", 12);
    await pair.serves(twelve);
    await pair.serves([]);
    await pair.replaceFolder(twelve);
    await pair.serves(twelve);
    await pair.killPlane();
    await pair.replaceFolder([]);
    await pair.startPlane("--mass-removal-hold", "8s");
    await pair.metricIs("weft_fanout_mass_removal_agents", 1);
    await pair.serves(twelve);
    await pair.serves([]);
  });

  test("is emptied with --mass-removal-threshold 0: at once, on a running control plane and on a fresh one", async () => {
    const off = ["--mass-removal-threshold", "0"];
    await using pair = await Pair.start(twelve, ...off);
    await pair.replaceFolder([]);
    await pair.serves([]);
    await pair.replaceFolder(twelve);
    await pair.serves(twelve);
    await pair.killPlane();
    await pair.replaceFolder([]);
    await pair.startPlane(...off);
    await pair.serves([]);
  });
});
