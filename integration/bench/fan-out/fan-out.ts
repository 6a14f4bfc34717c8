/**
 * One change of one endpoint, from its commit in the real control plane until the last of thousands of agents has acked it, beside
 * bare servers that send the same bytes to as many connections and count the acks: interleaved, on the same cores.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Row } from "../bench.ts";
import { atMost } from "../bench.ts";
import { clusterOf } from "../cluster.ts";
import { extremes, median } from "../quantiles.ts";
import { SyntheticApi } from "../synthetic-api/synthetic-api.ts";
import { PeerContestant, WeftContestant } from "./contestant.ts";
import type { Contestant, Round } from "./contestant.ts";

const agents = 5_000;
const services = 100;
const endpoints = 10;
const rounds = { quick: 25, full: 100 };
/** Not counted: code is not compiled yet, buffers grow. */
const warmUps = 5;
/** Between rounds, so that each begins with nothing under way. */
const calmMs = 50;
const goalRatio = 1.3;

export const fanOut: Bench = {
  name: "fan-out",
  title: `${agents.toLocaleString("en-US")} agents, one change, commit to last ack`,
  async run(context) {
    const api = await SyntheticApi.start(context, clusterOf(services, endpoints, { nodes: agents }));
    const results = new Map<Contestant, Round[]>();
    const weft = await WeftContestant.start(context, api, agents, services);
    results.set(weft, []);
    const bytesEach = (): number => results.get(weft)?.at(-1)?.bytesEach ?? 0;
    for (const protocol of ["http2", "tcp"] as const) {
      context.say(`${agents} connections to a bare ${protocol} server`);
      results.set(await PeerContestant.start(context, protocol, agents, bytesEach), []);
    }
    const measured = context.isFull ? rounds.full : rounds.quick;
    for (let round = 0; round < warmUps + measured; round++) {
      if (round % 10 === 0) context.say(`round ${round} of ${warmUps + measured}`);
      for (const [contestant, done] of results) {
        context.signal.throwIfAborted();
        await sleep(calmMs);
        done.push(await contestant.round());
      }
    }
    const [ofWeft = [], ofHttp2 = [], ofTcp = []] = [...results.values()].map((done) => done.slice(warmUps));
    return rowsOf(ofWeft, ofHttp2, ofTcp);
  },
};

function rowsOf(weft: readonly Round[], http2: readonly Round[], tcp: readonly Round[]): readonly Row[] {
  const lastAck = (of: readonly Round[]): number => median(of.map(({ lastAckMs }) => lastAckMs));
  const cpuEachUs = (of: readonly Round[], cpuMs: (round: Round) => number): number =>
    (median(of.map(cpuMs)) * 1_000) / agents;
  const spread = (of: readonly Round[]) => extremes(of.map(({ lastAckMs }) => lastAckMs));
  const server = (of: readonly Round[]): number => cpuEachUs(of, ({ serverCpuMs }) => serverCpuMs);
  const load = (of: readonly Round[]): number => cpuEachUs(of, ({ loadCpuMs }) => loadCpuMs);
  return [
    {
      what: "commit to last ack",
      measured: { value: lastAck(weft), unit: "ms", spread: spread(weft) },
      peer: { name: "node:http2", value: lastAck(http2) },
      goal: atMost(lastAck(weft) / lastAck(http2), goalRatio, "x"),
    },
    {
      what: "node:http2 with acks, beside raw TCP",
      measured: { value: lastAck(http2), unit: "ms", spread: spread(http2) },
      peer: { name: "raw TCP", value: lastAck(tcp) },
    },
    {
      what: "CPU of the control plane per agent",
      measured: { value: server(weft), unit: "us" },
      peer: { name: "node:http2", value: server(http2) },
    },
    {
      what: "CPU of the load per agent",
      measured: { value: load(weft), unit: "us" },
      peer: { name: "with node:http2", value: load(http2) },
    },
    {
      what: "bytes to each agent (HTTP/2 DATA with framing)",
      measured: { value: median(weft.map(({ bytesEach }) => bytesEach)), unit: "bytes" },
    },
  ];
}
