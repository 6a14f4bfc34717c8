/** What the scenes of the fleet share: a control plane on one core, its agents on the other. */
import type { BenchContext } from "../bench.ts";
import { clusterOf } from "../cluster.ts";
import { BenchControlPlane } from "../fan-out/control-plane.ts";
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

/** The agents are not connected yet. */
export async function stageOf(
  context: BenchContext,
  agents: number,
  { services, endpoints }: { readonly services: number; readonly endpoints: number },
): Promise<Stage> {
  context.say(`a cluster of ${services} services of ${endpoints} endpoints`);
  const api = await SyntheticApi.start(context, clusterOf(services, endpoints, { nodes: agents }));
  const controlPlane = await BenchControlPlane.start(context, api.kubeconfig, agents);
  const load = LoadClient.start(context, { name: "fleet", port: controlPlane.port, agents });
  return { context, agents, services, api, controlPlane, load };
}
