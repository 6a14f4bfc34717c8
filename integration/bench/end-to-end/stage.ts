/**
 * Where the bench plays: a lab with the real API server beside the control plane, a client on each node that is measured, and
 * backends on another node.
 *
 * ```
 * control  API server, control plane, writer        node-1  weft-agent, client
 * node-3   ten backends                              node-2  kube-proxy, client
 * ```
 */
import fs from "node:fs";
import path from "node:path";
import { nodeObject } from "../../kube/kube-objects.ts";
import { KubeApi } from "../../kube/kube-api.ts";
import { controlAddresses, podAddresses } from "../../lab/address-plan.ts";
import { createLab } from "../../lab/lab.ts";
import type { Lab } from "../../lab/lab.ts";
import { LabProcess, nodeCommand } from "../../lab/lab-process.ts";
import type { ProcessPlace } from "../../lab/lab-process.ts";
import type { BenchContext } from "../bench.ts";
import { targetPort } from "../cluster.ts";
import { compileC } from "../compile-c.ts";
import { endpointsPerService } from "./api-objects.ts";
import type { Backends } from "./api-objects.ts";
import { Prober, proberPeriodUs } from "./prober.ts";
import { RemoteWriter } from "./remote-writer.ts";

export const weftNode = 1;
export const peerNode = 2;
const backendNode = 3;
const nodes = 3;
const apiPort = 6_443;
const readyWaitMs = 15_000;

export interface Stage {
  readonly lab: Lab;
  readonly api: KubeApi;
  readonly writer: RemoteWriter;
  readonly backends: Backends;
  /** In a pod of the node of that number. */
  readonly probers: ReadonlyMap<number, Prober>;
}

/** Everything but what is measured; it ends with `context`. */
export async function setUpStage(context: BenchContext): Promise<Stage> {
  const connects = compileC("connects", path.join(import.meta.dirname, "connects"));
  const lab = await createLab({ name: context.lab, nodes, dataplane: "kernel", tls: true, isBare: true });
  context.signal.throwIfAborted();
  const control = lab.controlplane.place;
  const folder = path.join(lab.folder, "api");
  const listen = `${controlAddresses.v4}:${apiPort}`;
  const api = await KubeApi.start({ folder, listen, place: besides(control, "api") });
  const command = nodeCommand("integration/bench/end-to-end/api-writer.ts", api.kubeconfig);
  const process = LabProcess.start("api-writer", command, besides(control, "writer"));
  // What waits for a write ends then, too.
  context.signal.addEventListener("abort", () => void process.kill(), { once: true });
  const writer = await RemoteWriter.of(process, (text) => context.say(text));
  await writer.create(Array.from({ length: nodes }, (_, i) => nodeObject(i + 1)));

  const names = Array.from({ length: endpointsPerService }, (_, i) => `b${i}`);
  lab.makePods(names.map((name) => ({ name, node: backendNode })));
  for (const [number, name] of names.entries()) {
    const listener = lab.startProgramIn(name, [connects, "listen", String(number), String(targetPort)]);
    await listener.lineMatching(/^ready$/, readyWaitMs);
  }
  const probers = new Map<number, Prober>();
  for (const node of [weftNode, peerNode]) {
    const name = `client-${node}`;
    lab.makePods([{ name, node }]);
    probers.set(node, await Prober.of(lab.startProgramIn(name, [connects, "probe", String(proberPeriodUs)])));
  }
  const addresses = names.map((_, i) => podAddresses(backendNode, i + 1).v4);
  return { lab, api, writer, backends: { addresses, node: `node-${backendNode}` }, probers };
}

/** The same network, and a cgroup of its own: what runs there is accounted apart. */
export function besides(place: ProcessPlace, name: string): ProcessPlace {
  if (place.cgroup === undefined) return place;
  const cgroup = path.join(path.dirname(place.cgroup), name);
  fs.mkdirSync(cgroup, { recursive: true });
  return { ...place, cgroup, logFile: path.join(path.dirname(place.logFile), `${name}.log`) };
}
