/**
 * A rolling restart: the control plane of thousands of agents ends, in order (SIGTERM) or not (SIGKILL), and another takes its address at
 * once. The agents hold their state and come back as real ones do.
 */
import { makeBenchCertificates } from "../bench-certificates.ts";
import type { Bench, BenchContext, Row } from "../bench.ts";
import { BenchControlPlane } from "../fan-out/control-plane.ts";
import { endStage, stageOf } from "../fleet/stage.ts";
import type { StageOptions } from "../fleet/stage.ts";
import { extremes, median } from "../quantiles.ts";
import { restarted } from "./restarted.ts";
import type { Restarted } from "./restarted.ts";

const agents = 5_000;
const shape = { services: 10_000, endpoints: 10 };
const roundsOf = { quick: 2, full: 5 };

export const restarts: Bench = {
  name: "restarts",
  title: `a control plane of ${agents.toLocaleString("en-US")} agents is restarted`,
  isLong: true,
  async run(context) {
    const certificates = makeBenchCertificates(context);
    return [...(await scenes(context, "", {})), ...(await scenes(context, ", mTLS", { certificates }))];
  },
};

async function scenes(context: BenchContext, how: string, options: StageOptions): Promise<readonly Row[]> {
  const first = await stageOf(context, agents, shape, options);
  const { port } = first.controlPlane;
  await first.load.seed();
  await first.load.connect();
  let stage = first;
  const rows: Row[] = [];
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const measured: Restarted[] = [];
    for (let round = 0; round < (context.isFull ? roundsOf.full : roundsOf.quick); round++) {
      context.signal.throwIfAborted();
      context.say(`${signal}${how}, round ${round + 1}`);
      const restart = await restarted(stage, signal, () =>
        BenchControlPlane.start(context, first.api.kubeconfig, agents, { ...options, port }),
      );
      measured.push(restart);
      stage = { ...stage, controlPlane: restart.next };
    }
    rows.push(...rowsOf(`${signal}${how}`, measured));
  }
  await endStage(stage);
  return rows;
}

function rowsOf(what: string, rounds: readonly Restarted[]): readonly Row[] {
  const ms = (name: string, of: (one: Restarted) => number): Row => {
    const values = rounds.map(of);
    return { what: name, measured: { value: median(values), unit: "ms", spread: extremes(values) } };
  };
  const moved = Math.max(...rounds.map(({ snapshots, repairs }) => snapshots + repairs));
  return [
    ms(`${what}: all agents are back and have acked`, ({ ackedMs }) => ackedMs),
    ms("  half of them", ({ halfBackMs }) => halfBackMs),
    ms("  from that, the next control plane has started and read the cluster", ({ readyMs }) => readyMs),
    ms(
      "  its event loop was late by, at worst since it began (a bound of its buckets)",
      ({ worstLateMs }) => worstLateMs,
    ),
    {
      what: "  bytes to each (HTTP/2 DATA with framing)",
      measured: { value: median(rounds.map(({ bytesEach }) => bytesEach)), unit: "bytes" },
    },
    {
      what: "  agents that were sent state",
      measured: { value: moved, unit: "" },
      goal: { text: "none", isMet: moved === 0 },
    },
  ];
}
