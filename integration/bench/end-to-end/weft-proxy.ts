/** Weft on the stage: the control plane that follows the API server, and an agent with the kernel dataplane; mTLS between them. */
import fs from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { expectSuccess } from "../../lab/command.ts";
import { monotonicUs } from "./monotonic.ts";
import { usageOf } from "./measured-proxy.ts";
import type { MeasuredProxy } from "./measured-proxy.ts";
import { weftNode } from "./stage.ts";
import type { Stage } from "./stage.ts";

const readyLimitMs = 120_000;
const pollMs = 100;

/** The control plane has read everything when this resolves; the agent was started a moment ago. */
export async function startWeft(stage: Stage, signal: AbortSignal): Promise<MeasuredProxy> {
  const { lab, api } = stage;
  await lab.controlplane.start(["--kubeconfig", api.kubeconfig]);
  await becomeReady(stage, signal);
  const node = lab.node(weftNode);
  const startedUs = monotonicUs();
  await node.startAgent();
  return {
    name: "Weft",
    node: weftNode,
    startedUs,
    agent: usageOf(node.place.cgroup, node.agent.pid),
    controlplane: usageOf(lab.controlplane.place.cgroup, lab.controlplane.process.pid),
    stop: async () => {
      await node.agent.stop();
      await lab.controlplane.process.stop();
      // What an agent served stays when it ends.
      expectSuccess(await node.runAgent("cleanup", "--bpffs", node.bpffs, "--cgroup", node.cgroup ?? ""));
      fs.rmSync(node.state, { recursive: true });
    },
  };
}

async function becomeReady({ lab, writer }: Stage, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  for (;;) {
    signal.throwIfAborted();
    try {
      await writer.get(`http://${lab.controlplane.http}/readyz`);
      return;
    } catch (error) {
      if (performance.now() - began > readyLimitMs) throw error;
    }
    await delay(pollMs);
  }
}
