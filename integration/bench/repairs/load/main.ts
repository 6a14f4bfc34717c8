/**
 * The load of `repairs`: agents that were away, each on a connection of its own, meet a control plane of another history.
 *
 * Arguments: PORT. Each line on stdin is a `Storm`; prints one `Mended` as JSON once all hold the head, or `{"lost": WHY}`.
 */
import readline from "node:readline";
import { quantile } from "../../quantiles.ts";
import { HeadState } from "./head-state.ts";
import { OldState } from "./old-state.ts";
import { RepairedAgent } from "./repaired-agent.ts";
import type { Mended, Storm } from "../repair-load.ts";

const port = Number(process.argv[2]);
/** Connections that are not up yet, at a time. */
const inflight = 64;
let head: HeadState | undefined;

for await (const line of readline.createInterface({ input: process.stdin })) {
  const said = await meet(JSON.parse(line) as Storm).catch((error: unknown) => ({ lost: String(error) }));
  process.stdout.write(`${JSON.stringify(said)}\n`);
}

async function meet(storm: Storm): Promise<Mended> {
  const known = (head ??= await learn());
  // Before they connect: an agent has 10 s from the beginning of its call to its Hello.
  const states = Array.from({ length: storm.agents }, (_, i) => {
    return new OldState(known, storm.differing, storm.isSame ? 0 : i);
  });
  const agents: RepairedAgent[] = [];
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => undefined);
  try {
    while (agents.length < storm.agents) {
      const next = Array.from({ length: Math.min(inflight, storm.agents - agents.length) }, (_, i) => {
        return new RepairedAgent(`node-${agents.length + i}`, port);
      });
      agents.push(...next);
      await Promise.all(next.map((agent) => agent.connected()));
    }
    process.stdout.write("connected\n");
    const beganMs = performance.now();
    const receivedMs: number[] = [];
    const mended = states.map(async (state, i) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      agents[i]?.meet(state, known.services, storm.isTold, {
        received: () => receivedMs.push(performance.now() - beganMs),
        mended: resolve,
        lost: (why) => lost.reject(new Error(`node-${i}: ${why}`)),
      });
      await promise;
    });
    await Promise.race([lost.promise, Promise.all(mended)]);
    const elapsedMs = performance.now() - beganMs;
    const sum = (of: (agent: RepairedAgent) => number): number => agents.reduce((all, agent) => all + of(agent), 0);
    return {
      elapsedMs,
      receivedP50Ms: quantile(receivedMs, 0.5),
      receivedBytes: sum(({ receivedBytes }) => receivedBytes),
      sentBytes: sum(({ sentBytes }) => sentBytes),
    };
  } finally {
    for (const agent of agents) agent.close();
  }
}

async function learn(): Promise<HeadState> {
  const reader = new RepairedAgent("node-0", port);
  try {
    return new HeadState(await reader.fetchAll());
  } finally {
    reader.close();
  }
}
