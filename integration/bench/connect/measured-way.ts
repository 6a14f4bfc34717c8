/** The ways to a pod that are compared: straight, through Weft, through rules of kube-proxy's form. */
import { setTimeout as delay } from "node:timers/promises";
import { serviceCidrs } from "../../lab/address-plan.ts";
import { expectSuccess } from "../../lab/command.ts";
import type { Lab } from "../../lab/lab.ts";
import { namespaceName, namespacePath } from "../../lab/lab-paths.ts";
import type { RulePeer } from "../peers/rule-peer.ts";
import { Caller } from "./caller.ts";
import type { Call, Size } from "./calls.ts";
import { objectsOf, podTargets, proxiedServices, serviceTargets, sizes } from "./calls.ts";

const activeWaitMs = 120_000;

export interface MeasuredWay {
  /** "direct", "weft", or the name of the peer. */
  readonly name: string;
  /** Numbers of services. */
  readonly measuredAt: readonly Size[];
  /** Makes the cluster that large; it only grows. */
  grow(size: Size, signal: AbortSignal): Promise<void>;
  /** Microseconds of each call. */
  call(size: Size, call: Call, count: number): Promise<readonly number[]>;
}

/** A node on which nothing is in the way: no rules, no programs. */
export async function directWay(lab: Lab, node: number, core: number): Promise<MeasuredWay> {
  const caller = await Caller.start(lab, node, core);
  return {
    name: "direct",
    measuredAt: sizes,
    grow: () => Promise.resolve(),
    call: async (_, call, count) => caller.call(call.protocol, count, podTargets(caller.pods, call)),
  };
}

export async function rulesWay(
  lab: Lab,
  node: number,
  core: number,
  peer: RulePeer,
  measuredAt: readonly Size[],
): Promise<MeasuredWay> {
  const caller = await Caller.start(lab, node, core);
  const namespace = namespacePath(namespaceName(lab.name, `node-${node}`));
  // Rules see only what has a route; a node has one that leads everywhere.
  lab.configureNode(
    node,
    serviceCidrs.map((cidr) => `route add ${cidr} dev pods`),
  );
  return {
    name: peer.name,
    measuredAt,
    grow: async (size, signal) => {
      for (const [family, ipFamily] of [
        [4, "IPv4"],
        [6, "IPv6"],
      ] as const)
        await peer.replace({ namespace, family }, proxiedServices(size, ipFamily, caller.pods), signal);
    },
    call: async (size, call, count) => caller.call(call.protocol, count, serviceTargets(size, call)),
  };
}

/** The node of a lab with an agent and a control plane. */
export async function weftWay(lab: Lab, core: number): Promise<MeasuredWay> {
  const caller = await Caller.start(lab, 1, core);
  const watch = lab.watchRevisions();
  await watch.ready();
  let services = 0;
  return {
    name: "weft",
    measuredAt: sizes,
    grow: async (size, signal) => {
      const before = watch.head;
      const items = Array.from({ length: size - services }, (_, i) => objectsOf(services + i, caller.pods)).flat();
      services = size;
      // One file is one revision.
      lab.manifests.writeText(`up-to-${size}.json`, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
      const limitMs = performance.now() + activeWaitMs;
      while (watch.head === before) {
        if (performance.now() > limitMs) throw new Error(`${size} services: not committed within ${activeWaitMs} ms`);
        await delay(20, undefined, { signal });
      }
      expectSuccess(await lab.weft(["wait", "--revision", String(watch.head)]));
    },
    call: async (size, call, count) => caller.call(call.protocol, count, serviceTargets(size, call)),
  };
}
