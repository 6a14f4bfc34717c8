/** `end-to-end`: from a write at the real API server to the first connection that feels it. */
import fs from "node:fs";
import path from "node:path";
import { missingForKernelLab } from "../../lab/kernel-support.ts";
import type { Bench, BenchContext, Row } from "../bench.ts";
import { endpointsPerService, firstService } from "./api-objects.ts";
import { missingForKubeProxy, startKubeProxy } from "./kube-proxy.ts";
import { measureBytes } from "./measure-bytes.ts";
import type { EventBytes } from "./measure-bytes.ts";
import { measureProxy } from "./measure-proxy.ts";
import type { ProxyNumbers } from "./measure-proxy.ts";
import { MovingPods } from "./moving-pods.ts";
import { bytesRow, growthRow, rowsOf } from "./rows.ts";
import type { Prober } from "./prober.ts";
import { peerNode, setUpStage, weftNode } from "./stage.ts";
import type { Stage } from "./stage.ts";
import { startWeft } from "./weft-proxy.ts";

const kubeProxy = "kube-proxy";
const repository = path.resolve(import.meta.dirname, "../../..");
const quickServices = 1_000;
const fullServices = 10_000;
/** Number of the first service with a large slice; the others come before. */
const firstWideService = 20_000;

export const endToEnd: Bench = {
  name: "end-to-end",
  title: "a write at the real API server returns, until a new connection reaches the new backend (mTLS, one node)",
  run,
};

async function run(context: BenchContext): Promise<readonly Row[]> {
  const missing = missingForKernelLab() ?? (await buildKube(context));
  if (missing !== undefined) {
    context.note(`left out: ${missing}`);
    return [];
  }
  const stage = await setUpStage(context);
  context.uses("kube-apiserver", kubernetesVersion());
  const pods = new MovingPods(stage, firstService);
  await makeServices(stage, 1, quickServices, context);
  await pods.place();
  const at = { stage, pods, services: quickServices };
  const { numbers: small, bytes } = await measureWeft(at, context);
  if (!context.isFull) return [...rowsOf(small, await measurePeer(at, context)), bytesRow(bytes)];

  await makeServices(stage, quickServices + 1, fullServices, context);
  const large = await measureWeft({ ...at, services: fullServices }, context);
  const peer = await measurePeer({ ...at, services: fullServices }, context);
  return [...rowsOf(large.numbers, peer), growthRow(small, large.numbers), bytesRow(large.bytes)];
}

interface Setting {
  readonly stage: Stage;
  readonly pods: MovingPods;
  readonly services: number;
}

async function makeServices({ writer }: Stage, from: number, to: number, context: BenchContext): Promise<void> {
  context.say(`making ${to - from + 1} services of ${endpointsPerService} endpoints at the API`);
  const first = firstService + from - 1;
  await writer.createServices(first, firstService + to - 1, endpointsPerService);
}

async function measureWeft(
  { stage, pods, services }: Setting,
  context: BenchContext,
): Promise<{ readonly numbers: ProxyNumbers; readonly bytes: EventBytes }> {
  const { signal } = context;
  const isLarge = services === fullServices;
  const plan = {
    start: async () => startWeft(stage, signal),
    restMs: 200,
    quietChanges: isLarge ? 200 : 100,
    steadySeconds: isLarge ? 30 : 15,
  };
  const { numbers, proxy } = await measureProxy(plan, { pods, prober: proberOf(stage, weftNode), services }, context);
  const bytes = await measureBytes(stage, firstWideService + services, signal);
  await proxy.stop();
  noteFailed(numbers, context);
  return { numbers, bytes };
}

// Undefined: it was not asked for, or is missing.
async function measurePeer(
  { stage, pods, services }: Setting,
  context: BenchContext,
): Promise<ProxyNumbers | undefined> {
  if (context.peer !== kubeProxy) {
    context.note(`the real kube-proxy runs beside us with '--peer ${kubeProxy}'`);
    return undefined;
  }
  const missing = missingForKubeProxy();
  if (missing !== undefined) {
    context.note(`no numbers of ${kubeProxy}: ${missing}`);
    return undefined;
  }
  context.uses(kubeProxy, `${kubernetesVersion()} (nftables)`);
  const plan = {
    start: async () => startKubeProxy(stage),
    // It takes changes at most once a second.
    restMs: 1_200,
    quietChanges: context.isFull ? 40 : 30,
    steadySeconds: context.isFull ? 30 : 15,
  };
  const { numbers, proxy } = await measureProxy(plan, { pods, prober: proberOf(stage, peerNode), services }, context);
  await proxy.stop();
  noteFailed(numbers, context);
  return numbers;
}

function proberOf({ probers }: Stage, node: number): Prober {
  const prober = probers.get(node);
  if (prober === undefined) throw new Error(`no client on node ${node}`);
  return prober;
}

function noteFailed({ name, quiet, steady }: ProxyNumbers, context: BenchContext): void {
  const failed = quiet.failed + steady.failed;
  if (failed > 0) context.note(`${name}: ${failed} of ${quiet.connects + steady.connects} connections failed`);
}

// Undefined: the API server is there, and kube-proxy if it is asked for. Else why not.
async function buildKube(context: BenchContext): Promise<string | undefined> {
  const more = context.peer === kubeProxy ? [kubeProxy] : [];
  const build = context.start("kube-build", ["sh", path.join(repository, "scripts/kube-build.sh"), ...more]);
  build.onLine((line) => context.say(line));
  const { code } = await build.ended;
  context.signal.throwIfAborted();
  return code === 0 ? undefined : `'npm run ${["kube:build", ...more].join(" -- ")}' says ${build.logTail()}`;
}

function kubernetesVersion(): string {
  const modules = fs.readFileSync(path.join(repository, "integration/kube/go.mod"), "utf8");
  return /^\tk8s\.io\/kubernetes v(\S+)$/m.exec(modules)?.[1] ?? "";
}
