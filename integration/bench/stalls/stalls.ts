/**
 * What the control plane holds for agents that do not read: after many small changes, after large ones that fill what their sockets and
 * windows take, and for agents that never read at all; without and with TLS.
 */
import { makeBenchCertificates } from "../bench-certificates.ts";
import { atMost } from "../bench.ts";
import type { Bench, BenchContext, Row } from "../bench.ts";
import { endStage, stageOf } from "../fleet/stage.ts";
import type { StageOptions } from "../fleet/stage.ts";
import { extremes, median } from "../quantiles.ts";
import { largeChanges, smallChanges } from "./changes.ts";
import { deafRounds, makeHistory } from "./deaf-rounds.ts";
import { stallRounds } from "./stall-rounds.ts";
import type { StallRound } from "./stall-rounds.ts";

const agents = 2_000;
const stalled = 1_000;
const shape = { services: 2_000, endpoints: 10 };
const roundsOf = { quick: 3, full: 10 };
const eachMaxKb = 20;
/** Of Ethernet: what a connection takes in before it is stuck depends on it. */
const segmentBytes = 1_448;
/** Less than the large changes. */
const windowBytes = 256 * 1_024;

export const stalls: Bench = {
  name: "stalls",
  title: `memory of ${stalled.toLocaleString("en-US")} agents that do not read`,
  isLong: true,
  async run(context) {
    const certificates = makeBenchCertificates(context);
    const rows: Row[] = [];
    for (const [how, options] of [
      ["", {}],
      [", mTLS", { certificates }],
    ] as const) {
      rows.push(...(await stalling(context, how, options)));
      rows.push(...(await deaf(context, how, options)));
    }
    return rows;
  },
};

async function stalling(context: BenchContext, how: string, options: StageOptions): Promise<readonly Row[]> {
  const stage = await stageOf(context, agents, shape, { ...options, segmentBytes, windowBytes, isInspected: true });
  await stage.load.connect();
  const rows: Row[] = [];
  for (const changes of [smallChanges(stage), largeChanges(stage)]) {
    const measured = await stallRounds(stage, stalled, changes, countOf(context));
    rows.push(
      ...rowsOf(`each that stalls, ${changes.what}${how}`, measured),
      rowOf("  what the changes cost without that, objects and buffers", measured, ({ controlKb }) => controlKb),
    );
  }
  await endStage(stage);
  return rows;
}

async function deaf(context: BenchContext, how: string, options: StageOptions): Promise<readonly Row[]> {
  const stage = await stageOf(context, stalled, shape, { ...options, segmentBytes, isInspected: true });
  await stage.load.connect();
  await makeHistory(stage);
  const rows: Row[] = [];
  for (const [holding, what] of [
    ["old states", "each lacks other changes"],
    ["nothing", "each needs a snapshot"],
  ] as const) {
    const measured = await deafRounds(stage, holding, countOf(context));
    rows.push(...rowsOf(`each that never reads, ${what}${how}`, measured));
  }
  await endStage(stage);
  return rows;
}

function countOf({ isFull }: BenchContext): number {
  return isFull ? roundsOf.full : roundsOf.quick;
}

function rowsOf(what: string, measured: readonly StallRound[]): readonly Row[] {
  const worst = Math.max(...measured.map(({ heldKb }) => heldKb));
  const held = rowOf(`${what}: objects and buffers without garbage`, measured, ({ heldKb }) => heldKb);
  return [
    { ...held, goal: { ...atMost(worst, eachMaxKb, "KB"), text: `worst <= ${eachMaxKb} KB` } },
    rowOf("  growth of the RSS", measured, ({ residentKb }) => residentKb),
    rowOf("  beside it, its socket in the kernel", measured, ({ serverSocketKb }) => serverSocketKb),
    rowOf("  and the agent's (here on the same machine)", measured, ({ clientSocketKb }) => clientSocketKb),
  ];
}

function rowOf(what: string, measured: readonly StallRound[], kb: (of: StallRound) => number): Row {
  const values = measured.map(kb);
  return { what, measured: { value: median(values), unit: "KB", spread: extremes(values) } };
}
