/**
 * Storms that cost the control plane much: handshakes of mTLS, and snapshots; with one thread and with two, on all cores. With two cores
 * this says little: the load needs as much as one of them.
 */
import type { BenchCertificates } from "../bench-certificates.ts";
import type { BenchContext, Row } from "../bench.ts";
import { elapsedOf, returned } from "./returns.ts";
import type { Return } from "./returns.ts";
import { endStage, stageOf } from "./stage.ts";

const small = { services: 100, endpoints: 10 };
const large = { services: 10_000, endpoints: 10 };
const rounds = 2;
const coldAgents = 1_000;

export async function workerStorms(
  context: BenchContext,
  agents: number,
  certificates: BenchCertificates,
): Promise<readonly Row[]> {
  const [one, two] = [
    elapsedOf(await handshakes(context, agents, 1, certificates)),
    elapsedOf(await handshakes(context, agents, 2, certificates)),
  ];
  const [oneCold, twoCold] = [await snapshots(context, 1), await snapshots(context, 2)];
  return [
    {
      what: "reconnects by mTLS with --workers 2, both on all cores beside the load: all are back",
      measured: two,
      peer: { name: "--workers 1", value: one.value },
    },
    {
      what: `${coldAgents.toLocaleString("en-US")} cold agents, 10,000 x 10, with --workers 2, likewise: all hold everything`,
      measured: { value: twoCold, unit: "ms" },
      peer: { name: "--workers 1", value: oneCold },
    },
  ];
}

async function handshakes(
  context: BenchContext,
  agents: number,
  threads: number,
  certificates: BenchCertificates,
): Promise<readonly Return[]> {
  const stage = await stageOf(context, agents, small, { certificates, workers: threads, isOnAllCores: true });
  await stage.load.connect();
  const returns: Return[] = [];
  for (let round = 1; round <= rounds; round++) {
    context.say(`reconnects by mTLS with --workers ${threads}, round ${round} of ${rounds}`);
    returns.push(await returned(stage.load, agents, () => stage.controlPlane.emptied()));
  }
  await endStage(stage);
  return returns;
}

async function snapshots(context: BenchContext, threads: number): Promise<number> {
  const options = { workers: threads, isOnAllCores: true, inflight: coldAgents };
  const stage = await stageOf(context, coldAgents, large, options);
  context.say(`${coldAgents} cold agents with --workers ${threads}`);
  const up = await stage.load.connect();
  await endStage(stage);
  return up.elapsedUs / 1_000;
}
