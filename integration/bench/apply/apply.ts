/** `apply`: one endpoint of a large cluster is replaced: how long until the node serves it, beside the programs of kube-proxy. */
import type { Bench, BenchContext } from "../bench.ts";
import { missingForKernelLab } from "../../lab/kernel-support.ts";
import { createLab } from "../../lab/lab.ts";
import { namespaceName, namespacePath } from "../../lab/lab-paths.ts";
import { clusterOf } from "../cluster.ts";
import { findRulePeer, remedyOf } from "../peers/rule-peer.ts";
import { onCoreMeanwhile } from "../pin-process.ts";
import { printShape } from "./print-shape.ts";
import { applyRows } from "./rows.ts";
import type { RulesApplied } from "./rows.ts";
import { RuleCluster } from "./rule-cluster.ts";
import { WeftCluster } from "./weft-cluster.ts";
import type { AppliedChange } from "./weft-cluster.ts";

const large = clusterOf(10_000, 25);
const small = clusterOf(100, 25);
/** 250,000 chains of endpoints take iptables-restore 40 s to load and 4 s to change. */
const smallForIptables = clusterOf(10_000, 4);
const agentCore = 1;
const otherCore = 0;

/** Everything takes turns, so that what disturbs the machine disturbs all. */
interface Effort {
  readonly rounds: number;
  /** Of one round, in each cluster. */
  readonly weftChanges: number;
  readonly ruleChanges: number;
}

const quick: Effort = { rounds: 10, weftChanges: 25, ruleChanges: 1 };
const full: Effort = { rounds: 40, weftChanges: 50, ruleChanges: 1 };
/** Changes before anything counts, in each cluster. */
const warmUp = 40;

export const apply: Bench = {
  name: "apply",
  title: `one endpoint replaced in ${printShape(large)}: delta received until the node serves it`,
  run,
};

async function run(context: BenchContext): ReturnType<Bench["run"]> {
  const missing = missingForKernelLab();
  if (missing !== undefined) throw new Error(`no kernel lab here: ${missing}`);
  const { lab } = context;
  await using rules = await loadRules(context);
  await using largeCluster = await WeftCluster.start(`${lab}w`, large, context);
  await using smallCluster = await WeftCluster.start(`${lab}s`, small, context);
  await rules.loaded;
  // Awaited here: what is left behind is removed when this returns.
  return await onCoreMeanwhile(otherCore, async () => {
    for (const cluster of [largeCluster, smallCluster]) await cluster.prepare(agentCore, otherCore);
    return measure(context, largeCluster, smallCluster, rules.clusters);
  });
}

async function measure(
  { say, signal, isFull }: BenchContext,
  largeCluster: WeftCluster,
  smallCluster: WeftCluster,
  rules: LoadedRules["clusters"],
): ReturnType<Bench["run"]> {
  for (let i = 0; i < warmUp; i++) for (const cluster of [largeCluster, smallCluster]) await cluster.change();
  const { rounds, weftChanges, ruleChanges } = isFull ? full : quick;
  const inLarge: AppliedChange[] = [];
  const inSmall: AppliedChange[] = [];
  for (let round = 1; round <= rounds; round++) {
    signal.throwIfAborted();
    for (let i = 0; i < weftChanges; i++) {
      inLarge.push(await largeCluster.change());
      inSmall.push(await smallCluster.change());
    }
    for (const { cluster, ms } of rules) for (let i = 0; i < ruleChanges; i++) ms.push(await cluster.change());
    if (round % 5 === 0) say(`round ${round} of ${rounds}`);
  }
  const applied = rules.map(({ cluster: { peer, shape }, call, ms }): RulesApplied => ({
    program: `${peer.name} ${peer.version}`,
    call,
    shape,
    ms,
  }));
  return applyRows({ shape: large, changes: inLarge }, { shape: small, changes: inSmall }, applied);
}

interface LoadedRules extends AsyncDisposable {
  /** Resolves once all rules are there; rejects if that failed. */
  readonly loaded: Promise<void>;
  readonly clusters: readonly { readonly cluster: RuleCluster; readonly call: string; readonly ms: number[] }[];
}

// Loading goes on beside that of Weft: neither is measured.
async function loadRules({ lab, isFull, signal, say, note, uses }: BenchContext): Promise<LoadedRules> {
  const candidates = [
    { name: "nft", call: "one nft -f -", shape: large },
    {
      name: "iptables-legacy",
      call: "one iptables-restore --noflush",
      shape: isFull ? large : smallForIptables,
    },
  ] as const;
  const peersLab = await createLab({ name: `${lab}p`, nodes: candidates.length, dataplane: "kernel", isBare: true });
  const clusters = candidates.flatMap(({ name, call, shape }, i) => {
    const peer = findRulePeer(name);
    if (peer === undefined) {
      note(remedyOf(name));
      return [];
    }
    uses(name, peer.version);
    const namespace = namespacePath(namespaceName(peersLab.name, `node-${i + 1}`));
    return [{ cluster: new RuleCluster(peer, shape, namespace, signal), call, ms: [] }];
  });
  note(
    "nft and iptables: only the program that puts the rules there; kube-proxy lists chains and computes before it calls",
  );
  const loads = clusters.map(async ({ cluster }) => {
    const tookMs = await cluster.load();
    say(`${cluster.peer.name}: rules of ${printShape(cluster.shape)} are there after ${(tookMs / 1_000).toFixed(1)} s`);
  });
  const loaded = Promise.all(loads).then(() => undefined);
  // Awaited later; until then a failure is nobody's.
  loaded.catch(() => undefined);
  return { clusters, loaded, [Symbol.asyncDispose]: async () => peersLab.destroy() };
}
