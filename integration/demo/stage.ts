/** What the steps of the demo do and show: edit, watch the revision travel, let traffic flow, wait, stop pods. */
import { setTimeout as delay } from "node:timers/promises";
import type { AddressPair } from "../lab/address-plan.ts";
import { podAddresses } from "../lab/address-plan.ts";
import type { EndpointSpec } from "../lab/cluster-manifests.ts";
import type { CommandResult } from "../lab/command.ts";
import type { Lab, PodSpec } from "../lab/lab.ts";
import type { ObservedRevision, RevisionWatch } from "../lab/revision-watch.ts";
import type { TrafficClient } from "../lab/traffic.ts";
import type { CastService } from "./cast.ts";
import { firstPods } from "./cast.ts";
import { count, milliseconds } from "./screen.ts";
import type { Screen } from "./screen.ts";

/** How long traffic flows before its answers are shown. */
const dwellMs = 1_400;

export class Stage {
  readonly lab: Lab;
  readonly screen: Screen;
  readonly clients: readonly TrafficClient[];
  readonly signal: AbortSignal;
  readonly revisions: ObservedRevision[] = [];
  /** Since when no service may choose this "pod port", unix milliseconds. */
  readonly drainedAtMs = new Map<string, number>();
  readonly problems: string[] = [];
  watch: RevisionWatch;
  readonly #addresses = new Map<string, AddressPair>();
  readonly #slotsUsed = new Map<number, number>();

  constructor(lab: Lab, screen: Screen, clients: readonly TrafficClient[], signal: AbortSignal) {
    this.lab = lab;
    this.screen = screen;
    this.clients = clients;
    this.signal = signal;
    this.watch = lab.watchRevisions();
    for (const pod of firstPods) this.#plan(pod);
  }

  /** True if pods run and connections are made. */
  get hasTraffic(): boolean {
    return this.clients.length > 0;
  }

  problem(text: string): void {
    this.problems.push(text);
    this.screen.problem(text);
  }

  /** Starts pods that are no endpoints yet. */
  async startPods(specs: readonly PodSpec[]): Promise<readonly EndpointSpec[]> {
    if (this.hasTraffic)
      for (const pod of await this.lab.startPods(specs)) this.#addresses.set(pod.name, pod.addresses);
    else for (const spec of specs) this.#plan(spec);
    return specs.map((spec) => ({ pod: spec.name, node: `node-${spec.node}`, addresses: this.addressesOf(spec.name) }));
  }

  addressesOf(pod: string): AddressPair {
    const found = this.#addresses.get(pod);
    if (found === undefined) throw new RangeError(`the demo has no pod ${pod}`);
    return found;
  }

  /** Edits the manifests of a service and shows the revision that this became on every node. */
  async edit(
    service: CastService,
    what: string,
    change: Parameters<Lab["manifests"]["changeEndpoints"]>[2],
  ): Promise<void> {
    this.signal.throwIfAborted();
    const before = this.watch.head;
    this.screen.fact("edit", `${service.file}: ${what}`);
    this.lab.manifests.changeEndpoints(service.file, service.name, change);
    this.show(await this.watch.settled(service.name, before));
  }

  /** One revision: its delta, and every node's ack. */
  show(observed: ObservedRevision): void {
    const { commit, acks } = observed;
    this.revisions.push(observed);
    const puts = count(commit.puts, "put");
    const delta = `${puts}, ${count(commit.removals, "removal")}, ${count(commit.bytes, "byte")} to each node`;
    // The first revision of a history is everything; nodes that were there before receive what differs.
    this.screen.fact(
      `revision ${commit.revision}`,
      commit.revision === 1 ? `${puts} make the new history; a node receives what differs from its own` : delta,
    );
    for (const node of this.lab.nodes) {
      const ack = acks.get(node.name);
      if (ack === undefined) {
        this.screen.fact(`  ${node.name}`, "runs it; acked before this watch was back");
        continue;
      }
      const active =
        ack.receivedToActiveUs === null
          ? "at the head already"
          : `live ${milliseconds(ack.receivedToActiveUs)} after it was received`;
      this.screen.fact(
        `  ${node.name}`,
        `${active.padEnd(36)}acked ${milliseconds(ack.commitToAckUs).padStart(8)} after the commit`,
      );
      if (ack.failures > 0) this.problem(`${node.name} reports ${count(ack.failures, "failure")}`);
    }
  }

  /** Lets traffic flow, and shows which pods answered for the service. */
  async answers(service: CastService): Promise<void> {
    if (!this.hasTraffic) return;
    await Promise.all(this.clients.map((client) => client.nextReport()));
    for (const client of this.clients) client.forgetRecent();
    await delay(dwellMs, undefined, { signal: this.signal });
    const byPod = new Map<string, number>();
    let [made, failed] = [0, 0];
    for (const { recent } of this.clients) {
      made += recent.made;
      failed += recent.failed;
      for (const [target, answers] of recent.answers) {
        if (!target.startsWith(`${service.name} `)) continue;
        for (const [backend, { count: answered }] of answers)
          byPod.set(podOf(backend), (byPod.get(podOf(backend)) ?? 0) + answered);
      }
    }
    const sum = [...byPod.values()].reduce((a, b) => a + b, 0);
    const shares = [...byPod]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([pod, answered]) => `${pod} ${Math.round((answered * 100) / sum)} %`);
    this.screen.fact("answers", `${service.name}: ${shares.join("  ")}`);
    const verdict = failed === 0 ? this.screen.green("0 failed") : this.screen.red(`${failed} failed`);
    this.screen.fact("connections", `${count(made, "exchange")} in ${dwellMs / 1_000} s, ${verdict}`);
  }

  /** Waits until no node can choose these pods, as a preStop hook would, and only then stops them. */
  async stopDrained(service: CastService, pods: readonly string[]): Promise<void> {
    const addresses = pods.flatMap((pod) => {
      const { v4, v6 } = this.addressesOf(pod);
      return [`${v4}:${service.port}`, `[${v6}]:${service.port}`];
    });
    const result = await this.weft("wait", "--drained", ...addresses);
    if (result.code !== 0) {
      this.problem(`weft wait ended with ${result.code}: ${result.stderrTail}`);
      return;
    }
    for (const pod of pods) this.drainedAtMs.set(`${pod} ${service.port}`, Date.now());
    if (!this.hasTraffic) return;
    await Promise.all(pods.map((pod) => this.lab.pod(pod).process.stop()));
    this.screen.fact("stopped", pods.join(", "));
  }

  /** Runs `weft` and shows what it answers. */
  async weft(...args: readonly string[]): Promise<CommandResult> {
    this.signal.throwIfAborted();
    const result = await this.lab.weft(args);
    this.screen.command(result.line, result.stdout);
    return result;
  }

  /** Exchanges that a pod answered although they began after it had been drained. */
  lateAnswers(): readonly string[] {
    const late: string[] = [];
    for (const { total } of this.clients) {
      for (const [target, answers] of total.answers) {
        for (const [backend, { lastMs }] of answers) {
          const drained = this.drainedAtMs.get(backend);
          if (drained !== undefined && lastMs > drained)
            late.push(`${target}: ${backend} answered ${lastMs - drained} ms after it was drained`);
        }
      }
    }
    return late;
  }

  #plan(pod: PodSpec): void {
    const slot = (this.#slotsUsed.get(pod.node) ?? 0) + 1;
    this.#slotsUsed.set(pod.node, slot);
    this.#addresses.set(pod.name, podAddresses(pod.node, slot));
  }
}

function podOf(backend: string): string {
  return backend.slice(0, backend.indexOf(" "));
}
