/** `connect`: a new connection through a ClusterIP, beside one straight to the pod and others through rules of kube-proxy's form. */
import { missingForKernelLab } from "../../lab/kernel-support.ts";
import { createLab } from "../../lab/lab.ts";
import type { Lab } from "../../lab/lab.ts";
import type { Bench, BenchContext } from "../bench.ts";
import { findRulePeer, remedyOf } from "../peers/rule-peer.ts";
import type { RulePeerName } from "../peers/rule-peer.ts";
import { callsAt, sizes } from "./calls.ts";
import type { Size } from "./calls.ts";
import { directWay, rulesWay, weftWay } from "./measured-way.ts";
import type { MeasuredWay } from "./measured-way.ts";
import { connectRows } from "./rows.ts";
import type { WayTimes } from "./rows.ts";

/** Of all callers; they take turns. */
const callerCore = 1;

export const connect: Bench = {
  name: "connect",
  title: "a process of the node calls a service whose pods are on that node, p50; ways take turns on one core",
  run,
};

async function run(context: BenchContext): ReturnType<Bench["run"]> {
  const missing = missingForKernelLab();
  if (missing !== undefined) throw new Error(`no kernel lab here: ${missing}`);
  const { lab, say, signal, isFull } = context;
  await using weftLab = await createLab({ name: `${lab}w`, nodes: 1, dataplane: "kernel" });
  await using otherLab = await createLab({
    name: `${lab}p`,
    nodes: 1 + rulePeers.length,
    dataplane: "kernel",
    isBare: true,
  });
  const ways = [
    await directWay(otherLab, 1, callerCore),
    await weftWay(weftLab, callerCore),
    ...(await ruleWays(otherLab, context)),
  ];
  const times: WayTimes[] = [];
  for (const size of sizes) {
    const present = ways.filter(({ measuredAt }) => measuredAt.includes(size));
    await Promise.all(present.map(async (way) => way.grow(size, signal)));
    say(`${size} services are there`);
    times.push(...(await measure(size, present, isFull ? 120 : 40, signal)));
  }
  return connectRows(times);
}

/** Calls of one turn: about 10 ms. */
const callsPerTurn = 200;

async function measure(
  size: Size,
  ways: readonly MeasuredWay[],
  rounds: number,
  signal: AbortSignal,
): Promise<readonly WayTimes[]> {
  const times = callsAt(size).flatMap((call) => ways.map((way) => ({ way, call, us: [] as number[] })));
  for (let round = 0; round <= rounds; round++) {
    for (const { way, call, us } of times) {
      signal.throwIfAborted();
      const took = await way.call(size, call, callsPerTurn);
      // The first round warms up.
      if (round > 0) us.push(...took);
    }
  }
  return times.map(({ way, call, us }) => ({ way: way.name, size, call, us }));
}

const rulePeers: readonly { readonly name: RulePeerName; readonly measuredAt: readonly Size[] }[] = [
  { name: "nft", measuredAt: sizes },
  { name: "iptables-legacy", measuredAt: sizes },
  // It takes minutes to load more.
  { name: "iptables-nft", measuredAt: [1_000] },
];

async function ruleWays(lab: Lab, { note, uses }: BenchContext): Promise<readonly MeasuredWay[]> {
  const ways: MeasuredWay[] = [];
  for (const [i, { name, measuredAt }] of rulePeers.entries()) {
    const peer = findRulePeer(name);
    if (peer === undefined) {
      note(remedyOf(name));
      continue;
    }
    uses(name, peer.version);
    ways.push(await rulesWay(lab, i + 2, callerCore, peer, measuredAt));
  }
  return ways;
}
