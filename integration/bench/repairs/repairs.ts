/**
 * Agents that were away come back all at once, and the history of the control plane is another one: each is asked for digests and sent
 * what it lacks, beside sending it a snapshot.
 */
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, BenchContext, Row } from "../bench.ts";
import { clusterOf } from "../cluster.ts";
import { BenchControlPlane } from "../fan-out/control-plane.ts";
import { cpuTimeMs, processUsage } from "../process-usage.ts";
import { extremes, quantile } from "../quantiles.ts";
import { SyntheticApi } from "../synthetic-api/synthetic-api.ts";
import { RepairLoad } from "./repair-load.ts";
import type { Mended, Storm } from "./repair-load.ts";

const shape = clusterOf(5_000, 50);
/** Resources of each agent that are not as in the head: a few seconds of a large cluster's life. */
const differing = 100;
const sizes = [50, 500, 2_000];
/** One program reads them all: more would measure that one. */
const snapshots = 50;
const probeEveryMs = 5;
/** The streams of the storm before are forgotten, garbage is collected. */
const calmMs = 12_000;

export const repairs: Bench = {
  name: "repairs",
  title: "agents that were away come back all at once to a control plane of another history",
  isLong: true,
  async run(context) {
    const agentsMax = Math.max(...sizes);
    const api = await SyntheticApi.start(context, { ...shape, nodes: agentsMax });
    const controlPlane = await BenchControlPlane.start(context, api.kubeconfig, agentsMax);
    const load = RepairLoad.start(context, controlPlane.port, agentsMax);
    const meet = (storm: Omit<Storm, "differing">): Promise<Measured> =>
      measured(context, controlPlane, load, { ...storm, differing });
    const whole = await meet({ agents: snapshots, isSame: false, isTold: false });
    const rows: Row[] = [];
    for (const agents of sizes) {
      rows.push(
        ...rowsOf(
          `${print(agents)} agents, each lacks something else`,
          await meet({ agents, isSame: false, isTold: true }),
          whole,
        ),
      );
      rows.push(
        ...rowsOf(
          `${print(agents)} agents, all lack the same`,
          await meet({ agents, isSame: true, isTold: true }),
          whole,
        ),
      );
    }
    return rows;
  },
};

interface Measured extends Mended {
  readonly agents: number;
  /** Of the control plane. */
  readonly serverCpuMs: number;
  readonly peakMb: number;
  readonly answersMs: readonly number[];
}

async function measured(
  context: BenchContext,
  controlPlane: BenchControlPlane,
  load: RepairLoad,
  storm: Storm,
): Promise<Measured> {
  context.signal.throwIfAborted();
  context.say(
    `${storm.agents} agents${storm.isTold ? "" : " that need snapshots"}${storm.isSame ? " that hold the same" : ""}`,
  );
  await controlPlane.until(({ weft_fanout_streams: open }) => open === 0);
  await sleep(calmMs, undefined, { signal: context.signal });
  const { pid, http } = controlPlane;
  const probes = new AbortController();
  let probing: Promise<readonly number[]> = Promise.resolve([]);
  let cpuMs = 0;
  try {
    const mended = await load.meet(storm, () => {
      // VmHWM counts from here.
      fs.writeFileSync(`/proc/${pid}/clear_refs`, "5");
      cpuMs = cpuTimeMs(pid);
      probing = probe(http, probes.signal);
    });
    const serverCpuMs = cpuTimeMs(pid) - cpuMs;
    const peakMb = processUsage(pid).residentPeakMb;
    probes.abort();
    return { ...mended, agents: storm.agents, serverCpuMs, peakMb, answersMs: await probing };
  } finally {
    probes.abort();
  }
}

function rowsOf(name: string, of: Measured, whole: Measured): readonly Row[] {
  const beside = (what: (one: Measured) => number): { readonly name: string; readonly value: number } => ({
    name: "a snapshot",
    value: what(whole) / whole.agents,
  });
  return [
    { what: `${name}: all are mended`, measured: { value: of.elapsedMs / 1_000, unit: "s" } },
    { what: "  the median has all that it lacked", measured: { value: of.receivedP50Ms / 1_000, unit: "s" } },
    {
      what: "  bytes to and from each",
      measured: { value: (of.receivedBytes + of.sentBytes) / of.agents, unit: "bytes" },
      peer: beside(({ receivedBytes, sentBytes }) => receivedBytes + sentBytes),
    },
    { what: "    of which to it", measured: { value: of.receivedBytes / of.agents, unit: "bytes" } },
    {
      what: "  CPU of the control plane for each",
      measured: { value: of.serverCpuMs / of.agents, unit: "ms" },
      peer: beside(({ serverCpuMs }) => serverCpuMs),
    },
    { what: "  peak RSS of the control plane", measured: { value: of.peakMb, unit: "MB" } },
    {
      what: "  a probe is answered, p99 (no less than the event loop's gaps)",
      measured: { value: quantile(of.answersMs, 0.99), unit: "ms", spread: extremes(of.answersMs) },
    },
  ];
}

function print(count: number): string {
  return count.toLocaleString("en-US");
}

/** Milliseconds that each of many small requests took; a busy event loop answers late. */
async function probe(http: string, signal: AbortSignal): Promise<readonly number[]> {
  const tookMs: number[] = [];
  do {
    const fromMs = performance.now();
    await (await fetch(`http://${http}/livez`)).text();
    tookMs.push(performance.now() - fromMs);
    await sleep(probeEveryMs);
  } while (!signal.aborted);
  return tookMs;
}
