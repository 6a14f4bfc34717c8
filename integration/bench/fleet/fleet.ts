/**
 * Thousands of agents of one control plane through what a cluster does to them: a rolling update, storms of reconnects, agents that
 * stall, a fleet that comes with nothing; and what the control plane holds in memory for it.
 */
import { makeBenchCertificates } from "../bench-certificates.ts";
import type { Bench, Row } from "../bench.ts";
import { coldAgents } from "./cold-agents.ts";
import { questions } from "./questions.ts";
import { reconnects } from "./reconnects.ts";
import { resident } from "./resident.ts";
import { rollingUpdate } from "./rolling-update.ts";
import { endStage, stageOf } from "./stage.ts";
import { stalledAgents } from "./stalled-agents.ts";
import { tlsReconnects } from "./tls-reconnects.ts";
import { workers } from "./workers.ts";
import { workerStorms } from "./worker-storms.ts";

const agents = 5_000;
/** Their endpoints are replaced one by one. */
const updated = { services: 20, endpoints: 1_000 };

export const fleet: Bench = {
  name: "fleet",
  title: `${agents.toLocaleString("en-US")} agents: rolling update, reconnects, stalls, cold start, memory`,
  isLong: true,
  async run(context) {
    const rows: Row[] = [];
    const stage = await stageOf(context, agents, updated);
    await stage.load.connect();
    rows.push(...(await rollingUpdate(stage)));
    rows.push(...(await questions(stage)));
    rows.push(...(await reconnects(stage)));
    rows.push(...(await stalledAgents(stage)));
    await endStage(stage);
    rows.push(...(await workers(context, agents)));
    rows.push(...(await coldAgents(context, agents)));
    const certificates = makeBenchCertificates(context);
    rows.push(...(await coldAgents(context, agents, certificates)));
    rows.push(...(await tlsReconnects(context, agents, certificates)));
    if (context.isFull) rows.push(...(await workerStorms(context, agents, certificates)));
    rows.push(...(await resident(context, agents, certificates)));
    return rows;
  },
};
