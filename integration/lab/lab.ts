/**
 * A cluster on this machine: nodes, a control plane and pods, each in a network namespace of its own, nodes with a cgroup subtree
 * each. On the memory dataplane: the same programs on loopback, without namespaces, pods and traffic.
 */
import { spawnSync } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import type { Writable } from "node:stream";
import { nodesMax, podAddresses, podsPerNodeMax } from "./address-plan.ts";
import { findCgroupMount } from "./cgroup.ts";
import { ClusterManifests } from "./cluster-manifests.ts";
import { runCommand } from "./command.ts";
import type { CommandResult } from "./command.ts";
import { destroyLab } from "./destroy-lab.ts";
import type { Ground, LabDataplane } from "./ground.ts";
import { placeOf } from "./ground.ts";
import { missingForKernelLab } from "./kernel-support.ts";
import { LabCertificates } from "./lab-certificates.ts";
import { LabControlPlane } from "./lab-control-plane.ts";
import { LabNode } from "./lab-node.ts";
import { cgroupName, labPaths, namespaceName } from "./lab-paths.ts";
import { LabProcess, nodeCommand, startTime } from "./lab-process.ts";
import { clusterScript, nodeConfigurationScript, podsScript } from "./network-script.ts";
import type { PodPlace } from "./network-script.ts";
import { RevisionWatch } from "./revision-watch.ts";
import { startJanitor } from "./start-janitor.ts";
import { TrafficClient } from "./traffic.ts";

export interface LabOptions {
  /** 1 to 12 lower-case letters and digits; labs of other names are not disturbed, one of the same name is removed first. */
  readonly name: string;
  /** From 1 to 32. */
  readonly nodes: number;
  readonly dataplane: LabDataplane;
  /** Folder of manifests that is copied into the lab's own; the node objects are always there. */
  readonly manifests?: string;
  /** Zone label by number of the node; absent: none. */
  readonly zones?: Readonly<Record<number, string>>;
  /** Further flags of every agent. */
  readonly agentFlags?: readonly string[];
  /** mTLS between all programs, with certificates of the lab's own. Absent: without TLS. */
  readonly tls?: boolean;
  /** Network and pods only, without control plane and agents: for tests of the lab itself. */
  readonly isBare?: boolean;
  /** Called when a step of the set-up is done. */
  readonly onStep?: (step: string, elapsedMs: number) => void;
}

export interface PodSpec {
  readonly name: string;
  /** Number of its node, from 1. */
  readonly node: number;
  /** `8080,9000-9063`: TCP and UDP. */
  readonly ports: string;
  /** TCP ports on which connections stay open. */
  readonly echoPorts?: string;
}

export interface LabPod extends PodPlace {
  readonly process: LabProcess;
}

/** Holds pid and start time of the process that uses the lab. */
const ownerFile = "owner";
const podReadyWaitMs = 15_000;

export class Lab implements AsyncDisposable {
  readonly name: string;
  readonly dataplane: LabDataplane;
  readonly manifests: ClusterManifests;
  readonly controlplane: LabControlPlane;
  readonly nodes: readonly LabNode[];
  readonly #ground: Ground;
  readonly #janitor: ChildProcessByStdio<Writable, null, null>;
  readonly #pods = new Map<string, LabPod>();
  readonly #zones: Readonly<Record<number, string>>;
  /** Pods without a listener. */
  readonly #empty = new Map<string, PodPlace>();
  readonly #slotsUsed = new Map<number, number>();

  /** @internal Use createLab. */
  constructor(ground: Ground, options: LabOptions, janitor: ChildProcessByStdio<Writable, null, null>) {
    this.name = ground.lab;
    this.dataplane = ground.dataplane;
    this.#ground = ground;
    this.#janitor = janitor;
    this.#zones = options.zones ?? {};
    this.manifests = new ClusterManifests(ground.paths.manifests);
    this.controlplane = new LabControlPlane(ground);
    this.nodes = Array.from(
      { length: options.nodes },
      (_, i) => new LabNode(ground, i + 1, this.controlplane, options.agentFlags),
    );
  }

  get folder(): string {
    return this.#ground.paths.root;
  }

  get logs(): string {
    return this.#ground.paths.logs;
  }

  /** Makes `nodes.yaml` what it was at first. */
  writeNodes(): void {
    this.manifests.writeNodes(
      this.nodes.map(({ name, number }) => ({ name, number, zone: this.#zones[number] ?? "" })),
    );
  }

  /** @throws RangeError unless the lab has TLS. */
  get certificates(): LabCertificates {
    if (this.#ground.certificates === undefined) throw new RangeError(`lab ${this.name} has no TLS`);
    return this.#ground.certificates;
  }

  /** @throws RangeError if there is none. */
  node(number: number): LabNode {
    const found = this.nodes[number - 1];
    if (found === undefined) throw new RangeError(`lab ${this.name} has no node ${number}`);
    return found;
  }

  /** @throws RangeError if there is none. */
  pod(name: string): LabPod {
    const found = this.#pods.get(name);
    if (found === undefined) throw new RangeError(`lab ${this.name} has no pod ${name}`);
    return found;
  }

  /** Makes namespaces for pods, and starts them; resolves when all of them listen. Kernel labs only. */
  async startPods(specs: readonly PodSpec[]): Promise<readonly LabPod[]> {
    const places = this.#connectPods(specs);
    const pods = places.map((place, i) => {
      const { ports = "", echoPorts = "" } = specs[i] ?? {};
      const command = nodeCommand("integration/lab/pod.ts", place.name, ports, echoPorts);
      return { ...place, process: this.#startInPod(place, command) };
    });
    await Promise.all(pods.map((pod) => pod.process.lineMatching(/^ready$/, podReadyWaitMs)));
    for (const pod of pods) this.#pods.set(pod.name, pod);
    return pods;
  }

  /** Starts a pod that shares the node's namespace and addresses; resolves when it listens. Kernel labs only. */
  async startHostPod({ name, node, ports, echoPorts = "" }: PodSpec): Promise<void> {
    const command = nodeCommand("integration/lab/pod.ts", name, ports, echoPorts);
    await this.#startOnNode(name, node, command).lineMatching(/^ready$/, podReadyWaitMs);
  }

  /** Makes pods in which nothing runs yet: places for clients. Kernel labs only. */
  makePods(specs: readonly { readonly name: string; readonly node: number }[]): void {
    for (const place of this.#connectPods(specs)) this.#empty.set(place.name, place);
  }

  /** Starts a client in a pod of its own on that node. Kernel labs only. */
  async startClient(name: string, node: number): Promise<TrafficClient> {
    this.makePods([{ name, node }]);
    return this.startClientIn(name);
  }

  /** Starts one more client in a pod that `makePods` or `startClient` made. */
  async startClientIn(pod: string): Promise<TrafficClient> {
    return startedClient(this.startProgramIn(pod, clientCommand));
  }

  /** Starts any program in a pod that `makePods` made. @throws RangeError if it did not. */
  startProgramIn(pod: string, command: readonly string[]): LabProcess {
    const place = this.#empty.get(pod);
    if (place === undefined) throw new RangeError(`lab ${this.name} has no place ${pod}`);
    return this.#startInPod(place, command);
  }

  /** Starts a client in the node's own namespace: a process of the host. Kernel labs only. */
  async startHostClient(node: number): Promise<TrafficClient> {
    return startedClient(this.#startOnNode(`client on node-${node}`, node, clientCommand));
  }

  /** Runs commands of `ip` on a node, one a line. Kernel labs only. */
  configureNode(node: number, ipLines: readonly string[]): void {
    runScript(nodeConfigurationScript(this.name, node, ipLines));
  }

  /** Runs the `weft` command beside the control plane. `asksControlPlane`: adds where it is. */
  async weft(args: readonly string[], asksControlPlane = true): Promise<CommandResult> {
    const where = asksControlPlane ? this.#toControlPlane() : [];
    const command = nodeCommand("cli/main.ts", ...args, ...where);
    const place = placeOf(this.#ground, "control");
    return runCommand(`weft ${args.join(" ")}`, command, { ...place, logFile: path.join(this.logs, "weft.log") });
  }

  /** Follows commits and acks, the last ones included; ends with the control plane. */
  watchRevisions(): RevisionWatch {
    const args = ["revisions", "--watch", "--past", "64", "-o", "json", ...this.#toControlPlane()];
    const place = { ...placeOf(this.#ground, "control"), logFile: path.join(this.logs, "weft.log") };
    const watch = LabProcess.start("weft revisions", nodeCommand("cli/main.ts", ...args), place);
    return new RevisionWatch(
      watch,
      this.nodes.map((node) => node.name),
    );
  }

  /** Leaves the lab up when this process ends. */
  async keep(): Promise<void> {
    this.#janitor.ref();
    this.#janitor.stdin.end("keep\n");
    if (this.#janitor.exitCode === null) await once(this.#janitor, "exit");
  }

  /** Removes everything. */
  async destroy(): Promise<void> {
    await destroyLab(this.name);
    await this.keep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }

  #toControlPlane(): readonly string[] {
    return [
      "--controlplane",
      this.controlplane.address,
      ...(this.#ground.certificates?.operatorFlags ?? ["--insecure"]),
    ];
  }

  #connectPods(specs: readonly { readonly name: string; readonly node: number }[]): PodPlace[] {
    if (this.dataplane !== "kernel") throw new Error("pods need a kernel lab");
    const places = specs.map(({ name, node }) => {
      const slot = (this.#slotsUsed.get(node) ?? 0) + 1;
      if (slot > podsPerNodeMax)
        throw new RangeError(`node-${node} had ${podsPerNodeMax} pods; a slot is not used twice`);
      this.#slotsUsed.set(node, slot);
      return { name, node, slot, addresses: podAddresses(node, slot) };
    });
    runScript(podsScript(this.name, places));
    return places;
  }

  #startInPod(pod: PodPlace, command: readonly string[]): LabProcess {
    return LabProcess.start(`pod ${pod.name}`, command, placeOf(this.#ground, `pod-${pod.name}`, `node-${pod.node}`));
  }

  #startOnNode(name: string, node: number, command: readonly string[]): LabProcess {
    if (this.dataplane !== "kernel") throw new Error("processes of a node need a kernel lab");
    const logFile = path.join(this.logs, `host-${node}.log`);
    return LabProcess.start(name, command, { ...this.node(node).place, logFile });
  }
}

const clientCommand = nodeCommand("integration/lab/client.ts");

async function startedClient(process: LabProcess): Promise<TrafficClient> {
  const client = new TrafficClient(process);
  await process.lineMatching(/"ready"/, podReadyWaitMs);
  return client;
}

/**
 * Builds a lab: network, control plane, agents. A janitor removes it when this process ends without `destroy` or `keep`.
 * @throws Error with the reason if this machine cannot have it; nothing is left behind.
 */
export async function createLab(options: LabOptions): Promise<Lab> {
  if (options.nodes < 1 || options.nodes > nodesMax)
    throw new RangeError(`a lab has 1 to ${nodesMax} nodes, not ${options.nodes}`);
  const missing = options.dataplane === "kernel" ? missingForKernelLab() : undefined;
  if (missing !== undefined) throw new Error(`a kernel lab is not possible here: ${missing}`);

  const ground = groundOf(options);
  checkNoOwner(ground);
  await destroyLab(options.name);
  const lab = new Lab(ground, options, startJanitor(options.name));
  try {
    let began = performance.now();
    const done = (step: string): void => {
      options.onStep?.(step, performance.now() - began);
      began = performance.now();
    };
    makeFolders(ground);
    ground.certificates?.make();
    if (options.manifests !== undefined) fs.cpSync(options.manifests, ground.paths.manifests, { recursive: true });
    lab.writeNodes();
    if (ground.cgroup !== undefined) {
      runScript(clusterScript(options.name, options.nodes));
      done("network");
    }
    if (options.isBare === true) return lab;
    await lab.controlplane.start();
    done("control plane");
    await Promise.all(lab.nodes.map((node) => node.startAgent()));
    done("agents");
    return lab;
  } catch (error) {
    await lab.destroy();
    throw error;
  }
}

function groundOf(options: LabOptions): Ground {
  const cgroupMount = options.dataplane === "kernel" ? findCgroupMount() : undefined;
  const cgroup = cgroupMount === undefined ? undefined : path.join(cgroupMount, cgroupName(options.name));
  const paths = labPaths(options.name);
  const nodes = Array.from({ length: options.nodes }, (_, i) => `node-${i + 1}`);
  const certificates = options.tls === true ? new LabCertificates(path.join(paths.root, "tls"), nodes) : undefined;
  return { lab: options.name, dataplane: options.dataplane, paths, cgroup, certificates };
}

// A lab of this name that someone uses is not to be taken away from them; one that was kept or left is.
function checkNoOwner({ lab, paths }: Ground): void {
  const file = path.join(paths.root, ownerFile);
  if (!fs.existsSync(file)) return;
  const [pid = "", started] = fs.readFileSync(file, "utf8").split(" ");
  if (Number(pid) === process.pid || startTime(Number(pid)) !== started) return;
  throw new Error(`lab ${lab} is in use by process ${pid}: wait for it, or end it`);
}

function makeFolders({ lab, paths, cgroup }: Ground): void {
  for (const folder of [paths.root, paths.manifests, paths.state, paths.logs, paths.processes])
    fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(paths.root, ownerFile), `${process.pid} ${startTime(process.pid)}`);
  if (cgroup === undefined) return;
  fs.mkdirSync(cgroup);
  fs.mkdirSync(paths.bpffs);
  runScript(`set -e\nmount -t bpf ${namespaceName(lab, "bpf")} ${paths.bpffs}`);
}

function runScript(script: string): void {
  const { status, stderr, error } = spawnSync("sh", { input: script, encoding: "utf8" });
  if (status !== 0) throw new Error(`setting up the lab's network failed: ${error?.message ?? stderr.trim()}`);
}
