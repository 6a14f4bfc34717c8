/** Measures one proxy on the stage: cold, changes now and then, changes all the time. */
import { setTimeout as delay } from "node:timers/promises";
import type { BenchContext } from "../bench.ts";
import { servicePort } from "../cluster.ts";
import type { MeasuredProxy, ProgramUsage } from "./measured-proxy.ts";
import type { Move, MovingPods } from "./moving-pods.ts";
import type { Prober } from "./prober.ts";

export interface ProxyNumbers {
  readonly name: string;
  readonly services: number;
  /** From the start of its process until the first connection began that was answered. */
  readonly coldMs: number;
  readonly quiet: ChangeNumbers;
  readonly steady: ChangeNumbers;
  readonly residentMb: UsageNumbers;
}

export interface ChangeNumbers {
  /** Of each change. */
  readonly liveMs: readonly number[];
  readonly connects: number;
  readonly failed: number;
  /** CPU time per change, of everything that happened meanwhile. */
  readonly cpuMs: UsageNumbers;
}

export interface UsageNumbers {
  readonly agent: number;
  readonly controlplane: number | undefined;
}

export interface ProxyRun {
  readonly start: () => Promise<MeasuredProxy>;
  /** Pause between quiet changes: what it needs to take each of them at once. */
  readonly restMs: number;
  readonly quietChanges: number;
  readonly steadySeconds: number;
}

export const changesPerSecond = 20;
const coldTimeoutMs = 10;
const settleMs = 2_000;
const warmUpChanges = 5;

/** The proxy still runs when this resolves. */
export async function measureProxy(
  run: ProxyRun,
  at: { readonly pods: MovingPods; readonly prober: Prober; readonly services: number },
  context: Pick<BenchContext, "say" | "signal">,
): Promise<{ readonly numbers: ProxyNumbers; readonly proxy: MeasuredProxy }> {
  const { pods, prober, services } = at;
  const { signal } = context;
  const first = { address: pods.address, port: servicePort, backend: undefined, timeoutMs: coldTimeoutMs };
  const [{ beganUs }, proxy] = await Promise.all([prober.reach(first), run.start()]);
  const coldMs = (beganUs - proxy.startedUs) / 1_000;
  if (coldMs < 0) throw new Error(`something served before ${proxy.name} was started`);
  context.say(`${proxy.name} serves ${services} services after ${coldMs.toFixed(0)} ms`);
  await delay(settleMs, undefined, { signal });
  for (let i = 0; i < warmUpChanges; i++) await rested(pods.move(prober), run.restMs, signal);

  context.say(`${proxy.name}: ${run.quietChanges} changes, one at a time`);
  const quiet = await changes(proxy, async (moved) => {
    for (let i = 0; i < run.quietChanges; i++) moved(await rested(pods.move(prober), run.restMs, signal));
  });
  context.say(`${proxy.name}: ${changesPerSecond} changes a second for ${run.steadySeconds} s`);
  const steady = await changes(proxy, async (moved) => {
    const moves = await paced(run.steadySeconds * changesPerSecond, () => pods.move(prober), signal);
    for (const move of moves) moved(move);
  });
  await delay(settleMs, undefined, { signal });
  const residentMb = usage(proxy, (program) => program.residentMb());
  return { numbers: { name: proxy.name, services, coldMs, quiet, steady, residentMb }, proxy };
}

async function rested(move: Promise<Move>, restMs: number, signal: AbortSignal): Promise<Move> {
  const moved = await move;
  await delay(restMs, undefined, { signal });
  return moved;
}

// One begins every 50 ms, whether those before it are done or not.
async function paced(count: number, begin: () => Promise<Move>, signal: AbortSignal): Promise<readonly Move[]> {
  const began = performance.now();
  const moves: Promise<Move>[] = [];
  for (let i = 0; i < count; i++) {
    await delay(Math.max(0, began + (i * 1_000) / changesPerSecond - performance.now()), undefined, { signal });
    moves.push(begin());
  }
  return Promise.all(moves);
}

async function changes(
  proxy: MeasuredProxy,
  make: (moved: (move: Move) => void) => Promise<void>,
): Promise<ChangeNumbers> {
  const before = usage(proxy, (program) => program.cpuMs());
  const moves: Move[] = [];
  await make((move) => moves.push(move));
  const after = usage(proxy, (program) => program.cpuMs());
  const perChange = (from: number, to: number): number => (to - from) / moves.length;
  return {
    liveMs: moves.map(({ liveMs }) => liveMs),
    connects: moves.reduce((sum, { connects }) => sum + connects, 0),
    failed: moves.reduce((sum, { failed }) => sum + failed, 0),
    cpuMs: {
      agent: perChange(before.agent, after.agent),
      controlplane:
        before.controlplane === undefined || after.controlplane === undefined
          ? undefined
          : perChange(before.controlplane, after.controlplane),
    },
  };
}

function usage({ agent, controlplane }: MeasuredProxy, of: (program: ProgramUsage) => number): UsageNumbers {
  return { agent: of(agent), controlplane: controlplane === undefined ? undefined : of(controlplane) };
}
