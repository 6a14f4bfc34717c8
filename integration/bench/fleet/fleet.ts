/**
 * Thousands of agents of one control plane through what a cluster does to them: a rolling update, a storm of reconnects, agents that
 * stall, and a fleet that comes with nothing.
 */
import type { Bench, Row } from "../bench.ts";
import { Peer } from "../fan-out/peer.ts";
import { coldAgents } from "./cold-agents.ts";
import { reconnects } from "./reconnects.ts";
import { rollingUpdate } from "./rolling-update.ts";
import { stageOf } from "./stage.ts";
import { stalledAgents } from "./stalled-agents.ts";

const agents = 5_000;
/** Their endpoints are replaced one by one. */
const updated = { services: 20, endpoints: 1_000 };
const cold = { services: 10_000, endpoints: 10 };

export const fleet: Bench = {
  name: "fleet",
  title: `${agents.toLocaleString("en-US")} agents: rolling update, reconnects, stalls, cold start`,
  isLong: true,
  async run(context) {
    const rows: Row[] = [];
    const stage = await stageOf(context, agents, updated);
    await stage.load.connect();
    rows.push(...(await rollingUpdate(stage)));
    const peer = await Peer.start(context, "http2", agents);
    rows.push(...(await reconnects(stage, peer)));
    await peer.stop();
    rows.push(...(await stalledAgents(stage)));
    await Promise.all([stage.load.stop(), stage.controlPlane.stop(), stage.api.stop()]);
    rows.push(...(await coldAgents(await stageOf(context, agents, cold))));
    return rows;
  },
};
