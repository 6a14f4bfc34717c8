/** What the scenes of the fleet share: a control plane on one core, its agents on the other. */
import type { BenchContext } from "../bench.ts";
import { clusterOf } from "../cluster.ts";
import { BenchControlPlane } from "../fan-out/control-plane.ts";
import type { ControlPlaneOptions } from "../fan-out/control-plane.ts";
import { LoadClient } from "../fan-out/load-client.ts";
import { SyntheticApi } from "../synthetic-api/synthetic-api.ts";

export interface Stage {
  readonly context: BenchContext;
  readonly agents: number;
  readonly services: number;
  readonly api: SyntheticApi;
  readonly controlPlane: BenchControlPlane;
  readonly load: LoadClient;
}

export interface StageOptions extends ControlPlaneOptions {
  /** Agents that are not up yet, at a time. Default: that of the load program. */
  readonly inflight?: number;
  /** HTTP/2 windows of the agents. Default: that of the load program. */
  readonly windowBytes?: number;
  /** Of TCP, to the agents. Default: that of loopback. */
  readonly segmentBytes?: number;
}

/** The agents are not connected yet. */
export async function stageOf(
  context: BenchContext,
  agents: number,
  { services, endpoints }: { readonly services: number; readonly endpoints: number },
  { inflight, windowBytes, segmentBytes, ...options }: StageOptions = {},
): Promise<Stage> {
  context.say(`a cluster of ${services} services of ${endpoints} endpoints`);
  const api = await SyntheticApi.start(context, clusterOf(services, endpoints, { nodes: agents }));
  const controlPlane = await BenchControlPlane.start(context, api.kubeconfig, agents, options);
  const authority = options.certificates?.authority;
  const { port } = controlPlane;
  const sizes = { agents, inflight, windowBytes, segmentBytes };
  const load = LoadClient.start(context, { name: "fleet", port, ...sizes, authority });
  return { context, agents, services, api, controlPlane, load };
}

export async function endStage({ load, controlPlane, api }: Stage): Promise<void> {
  await Promise.all([load.stop(), controlPlane.stop(), api.stop()]);
}
