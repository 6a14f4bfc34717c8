/** For tests: a control plane that serves one service. */
import assert from "node:assert/strict";
import { RunningPipeline } from "../running-pipeline.ts";
import type { RunningOptions } from "../running-pipeline.ts";
import { endpoints, node, service } from "../scripted-source.ts";
import type { ScriptedAgent } from "./scripted-agent.ts";

/** A control plane whose first commit holds one service with these addresses. */
export async function started(
  options: RunningOptions = {},
  addresses: readonly string[] = ["10.1.0.1"],
): Promise<RunningPipeline> {
  const running = await RunningPipeline.start(options);
  running.source.give(service("a/b"), endpoints("a/b", addresses), node("n1", "zone-1"));
  running.source.synced();
  return running;
}

export function assertAtHead(agent: ScriptedAgent, running: RunningPipeline): void {
  assert.equal(agent.held.cursor?.revision, running.head);
  assert.equal(agent.held.digest, running.pipeline.catalog.root);
}
