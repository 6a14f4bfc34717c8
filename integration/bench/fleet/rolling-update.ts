/** Endpoints of large services are replaced one after the other: latency, bytes, and whether the control plane still answers meanwhile. */
import { setTimeout as sleep } from "node:timers/promises";
import { atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import { bucketQuantile } from "../bucket-quantile.ts";
import { cpuTimeMs, processUsage } from "../process-usage.ts";
import { median, quantile, tail } from "../quantiles.ts";
import { makeChanges } from "./changes.ts";
import type { Stage } from "./stage.ts";

const single = { changes: 15, everyMs: 700 };
const steady = { seconds: 60, everyMs: 100 };
const probeEveryMs = 10;
const delayMetric = "weft_process_event_loop_delay_seconds";

export async function rollingUpdate(stage: Stage): Promise<readonly Row[]> {
  const { context, controlPlane, load, agents } = stage;
  context.say("single changes");
  const alone = await makeChanges(stage, single.changes, single.everyMs);
  const aloneMs = median(alone.converged.map(({ elapsedMs }) => elapsedMs));

  context.say(`10 changes a second for ${steady.seconds} s`);
  const [before, metricsBefore] = [await load.counts(), await controlPlane.metrics()];
  const cpuBefore = cpuTimeMs(controlPlane.pid);
  const probes = new AbortController();
  const probing = probe(controlPlane.http, probes.signal);
  const rolled = await makeChanges(stage, (steady.seconds * 1_000) / steady.everyMs, steady.everyMs);
  probes.abort();
  const answersMs = await probing;
  const cpuAfter = cpuTimeMs(controlPlane.pid);
  const [after, metricsAfter] = [await load.counts(), await controlPlane.metrics()];

  const elapsedMs = rolled.converged.map((each) => each.elapsedMs);
  const p99Ms = quantile(elapsedMs, 0.99);
  // Heartbeats are part of what each agent is sent.
  const bytesEach = (after.dataBytes - before.dataBytes) / agents / rolled.changes;
  const eventBytes = rolled.eventBytes / rolled.changes;
  const gapMs = (share: number): number => 1_000 * bucketQuantile(delayMetric, share, metricsBefore, metricsAfter);
  const size = `10 changes/s for ${steady.seconds} s`;
  return [
    {
      what: "one change alone, commit to last ack",
      measured: { value: aloneMs, unit: "ms", spread: tail(alone.converged.map((each) => each.elapsedMs)) },
    },
    {
      what: `${size}, commit to last ack, p99`,
      measured: { value: p99Ms, unit: "ms", spread: tail(elapsedMs) },
      peer: { name: "alone", value: aloneMs },
      goal: atMost(p99Ms / aloneMs, 3, "x"),
    },
    {
      what: `${size}, event loop late at p99, by its own metric (a bound of its buckets)`,
      measured: { value: gapMs(0.99), unit: "ms", spread: { p50: gapMs(0.5), p99: gapMs(0.99) } },
      goal: atMost(gapMs(0.99), 10, "ms"),
    },
    {
      what: `${size}, a probe is answered, p99 (its own fetch and scheduling included)`,
      measured: { value: quantile(answersMs, 0.99), unit: "ms", spread: tail(answersMs) },
    },
    {
      what: `${size}, CPU of the control plane`,
      measured: { value: (100 * (cpuAfter - cpuBefore)) / (steady.seconds * 1_000), unit: "%" },
    },
    {
      what: "bytes to each node per changed endpoint (HTTP/2 DATA with framing, heartbeats included)",
      measured: { value: bytesEach, unit: "bytes" },
      peer: { name: "EndpointSlice event", value: eventBytes },
      goal: { text: "<= 1/50 of the event", isMet: bytesEach * 50 <= eventBytes },
    },
    {
      what: `RSS of the control plane, ${agents.toLocaleString("en-US")} agents, 20 x 1,000`,
      measured: { value: processUsage(controlPlane.pid).residentMb, unit: "MB" },
    },
  ];
}

/** Milliseconds that each of many small requests took; a busy event loop answers late. */
async function probe(http: string, signal: AbortSignal): Promise<readonly number[]> {
  const tookMs: number[] = [];
  while (!signal.aborted) {
    const fromMs = performance.now();
    await (await fetch(`http://${http}/livez`)).text();
    tookMs.push(performance.now() - fromMs);
    await sleep(probeEveryMs);
  }
  return tookMs;
}
