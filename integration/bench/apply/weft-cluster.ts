/** A lab of one node that runs a large cluster, in which single endpoints are replaced. */
import { createLab } from "../../lab/lab.ts";
import type { Lab } from "../../lab/lab.ts";
import type { RevisionWatch } from "../../lab/revision-watch.ts";
import type { BenchContext } from "../bench.ts";
import { changingSlice, serviceKey, serviceObject, sliceObject, slicesOf } from "../cluster.ts";
import type { ApiObject, ClusterShape } from "../cluster.ts";
import { printShape } from "./print-shape.ts";
import { pinProcess } from "../pin-process.ts";

/** Services that change are spread over the cluster; each is in a file of its own, which is read alone. */
const changingMax = 50;
const servicesPerFile = 500;
const loadWaitMs = 300_000;

export interface AppliedChange {
  /** Of the agent: delta received until it was active. */
  readonly receivedToActiveUs: number;
  /** Of the control plane: commit until its ack was read. */
  readonly commitToAckUs: number;
  readonly deltaBytes: number;
}

export class WeftCluster implements AsyncDisposable {
  readonly shape: ClusterShape;
  readonly #lab: Lab;
  #watch: RevisionWatch | undefined;
  readonly #changing: readonly number[];
  #changes = 0;

  private constructor(shape: ClusterShape, lab: Lab, changing: readonly number[]) {
    this.shape = shape;
    this.#lab = lab;
    this.#changing = changing;
  }

  /** Resolves once all of it is active. */
  static async start(
    name: string,
    shape: ClusterShape,
    { say, signal }: Pick<BenchContext, "say" | "signal">,
  ): Promise<WeftCluster> {
    const lab = await createLab({ name, nodes: 1, dataplane: "kernel", isBare: true });
    try {
      const changing = changingServices(shape.services);
      writeManifests(lab, shape, new Set(changing));
      const beganMs = performance.now();
      await lab.controlplane.start();
      await lab.node(1).startAgent();
      await untilActive(lab, signal);
      const tookS = (performance.now() - beganMs) / 1_000;
      say(`weft: ${printShape(shape)} are active after ${tookS.toFixed(1)} s`);
      return new WeftCluster(shape, lab, changing);
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  /** To be called once, before the first change. The agent gets a core that it shares with nothing but other agents. */
  async prepare(agentCore: number, otherCore: number): Promise<void> {
    pinProcess(this.#lab.node(1).agent.pid, agentCore);
    pinProcess(this.#lab.controlplane.process.pid, otherCore);
    this.#watch = this.#lab.watchRevisions();
    await this.#watch.ready();
  }

  /** Replaces the last endpoint of one service; resolves once that is active and acked. */
  async change(): Promise<AppliedChange> {
    const watch = this.#watch;
    if (watch === undefined) throw new Error("the cluster was not prepared");
    const number = this.#changes++;
    const service = this.#changing[number % this.#changing.length] ?? 0;
    const { namespace, name } = serviceKey(service);
    const before = watch.head;
    writeService(this.#lab, this.shape, service, 1 + Math.floor(number / this.#changing.length));
    const { commit, acks } = await watch.settled(`${namespace}/${name}`, before);
    const ack = [...acks.values()][0];
    if (ack === undefined || ack.receivedToActiveUs === null || ack.failures > 0)
      throw new Error(`revision ${commit.revision} was not applied: ${JSON.stringify(ack)}`);
    const { receivedToActiveUs, commitToAckUs } = ack;
    return { receivedToActiveUs, commitToAckUs, deltaBytes: commit.bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab.destroy();
  }
}

/** Evenly over the cluster, the first and the last one among them. */
export function changingServices(services: number, max = changingMax): readonly number[] {
  const count = Math.min(services, max);
  return Array.from({ length: count }, (_, i) => (count === 1 ? 0 : Math.floor((i * (services - 1)) / (count - 1))));
}

function writeManifests(lab: Lab, shape: ClusterShape, changing: ReadonlySet<number>): void {
  for (let first = 0; first < shape.services; first += servicesPerFile) {
    const services = Array.from({ length: Math.min(servicesPerFile, shape.services - first) }, (_, i) => first + i);
    const steady = services.filter((service) => !changing.has(service));
    write(
      lab,
      `steady-${first}.json`,
      steady.flatMap((service) => objectsOf(shape, service, 0)),
    );
  }
  for (const service of changing) writeService(lab, shape, service, 0);
}

function writeService(lab: Lab, shape: ClusterShape, service: number, changes: number): void {
  write(lab, `changing-${service}.json`, objectsOf(shape, service, changes));
}

function objectsOf(shape: ClusterShape, service: number, changes: number): ApiObject[] {
  const slices = Array.from({ length: slicesOf(shape) }, (_, slice) =>
    sliceObject(shape, service, slice, slice === changingSlice(shape) ? changes : 0),
  );
  return [serviceObject(shape, service), ...slices];
}

function write(lab: Lab, file: string, items: readonly ApiObject[]): void {
  lab.manifests.writeText(file, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
}

// The command gives up after a while by itself; a slow machine needs more than one.
async function untilActive(lab: Lab, signal: AbortSignal): Promise<void> {
  const limitMs = performance.now() + loadWaitMs;
  for (;;) {
    const waited = await lab.weft(["wait", "--revision", "1", "--timeout", "20s"]);
    if (waited.code === 0) return;
    signal.throwIfAborted();
    if (performance.now() > limitMs) throw new Error(`nothing was active after ${loadWaitMs} ms: ${waited.stderrTail}`);
  }
}
