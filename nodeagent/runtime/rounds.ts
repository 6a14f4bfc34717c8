/**
 * Rounds: take everything received, plan what it touches, stage, persist, activate. Never two at once; what comes during a round
 * is conflated into the next, so what waits is bounded by the number of resources. A round that cannot be activated at
 * all is tried again with everything.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { Prefix } from "@weft/proto/address.ts";
import { prefixFromBytes } from "@weft/proto/address.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import { printCursor } from "@weft/proto/cursor.ts";
import type { NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { mergeTriggers } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import { messageOf } from "@weft/proto/program/errors.ts";
import type { DataplaneFailure, Round, RoundResult, ServicePlan } from "../dataplane/dataplane.ts";
import type { Waiting } from "../health/kube-proxy-metrics.ts";
import type { NodeAddressing } from "../plan/node-addressing.ts";
import { planNode } from "../plan/plan-input.ts";
import { NodePlanner } from "../plan/plan-node.ts";
import type { PlanNotice } from "../plan/plan-service.ts";
import type { StateFile } from "../sync/state-file.ts";
import type { StoreChange } from "../sync/store.ts";
import type { StepDurations } from "./messages.ts";
import { emptyPending, mergeChange, mergePending } from "./pending-changes.ts";
import type { PendingChanges } from "./pending-changes.ts";
import { newestTraces } from "./round-trace.ts";
import type { ReceivedTrace } from "./round-trace.ts";
import type { Active, RoundsOptions } from "./rounds-options.ts";

/** Wait after a round that could not be activated: doubles from the first to the second. */
const retryFirstMs = 500;
const retryMaxMs = 30_000;

export class Rounds {
  readonly #options: RoundsOptions;
  readonly #planner: NodePlanner;
  #addressing: NodeAddressing;
  #view: NodeView | undefined;
  #pending = emptyPending();
  // Of the round that is running.
  #taken: PendingChanges | undefined;
  #queuedAtMs: number | undefined;
  #active: Active | undefined;
  // Cursor of what the dataplane holds or is to hold: that of the newest round taken.
  #cursor: Cursor | undefined;
  // The next round gives everything, not what was touched.
  #needsAll = true;
  #isOpen = false;
  #isRunning = false;
  // What loading the program left is garbage too.
  #isBulky = true;
  #notices: readonly PlanNotice[] = [];
  #failures: readonly DataplaneFailure[] = [];
  #activationFailure: string | undefined;
  #failuresInRow = 0;
  // Until a whole snapshot of what is held is begun.
  #isDiskDoubted = false;
  #wake: (() => void) | undefined;
  #settled: (() => void)[] = [];
  #rewriting: Promise<void> | undefined;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#addressing = options.addressing;
    this.#view = options.view;
    this.#planner = new NodePlanner(options.store, this.#planNode());
  }

  /** Undefined: this process activated nothing yet. */
  get active(): Active | undefined {
    return this.#active;
  }

  get notices(): readonly PlanNotice[] {
    return this.#notices;
  }

  get failures(): readonly DataplaneFailure[] {
    return this.#failures;
  }

  /** Why the newest round could not be activated at all; undefined: it could. */
  get activationFailure(): string | undefined {
    return this.#activationFailure;
  }

  /** What was received and may be activated, but is not active. */
  get waiting(): Waiting {
    const taken = this.#taken;
    const { sinceMs, serviceChanges, backendChanges } = this.#pending;
    return {
      sinceMs: this.#isOpen ? (taken?.sinceMs ?? sinceMs) : undefined,
      serviceChanges: serviceChanges + (taken?.serviceChanges ?? 0),
      backendChanges: backendChanges + (taken?.backendChanges ?? 0),
    };
  }

  /** Unix milliseconds when something last came to wait. */
  get queuedAtMs(): number | undefined {
    return this.#queuedAtMs;
  }

  /** Zone and service CIDRs as last told. */
  get view(): NodeView | undefined {
    return this.#view;
  }

  /** Until then nothing is activated: what is live is ahead of what is held (SPEC I12). */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    // Until now it was held back on purpose.
    if (this.#pending.sinceMs !== undefined) this.#pending.sinceMs = performance.now();
    this.#poke();
  }

  /** Much was received: its garbage is collected once nothing waits. */
  cameInBulk(): void {
    this.#isBulky = true;
  }

  /** What triggered the delta that is committed next. */
  triggered(triggers: TriggerTimes | undefined): void {
    if (triggers !== undefined) this.#pending.triggers = mergeTriggers(this.#pending.triggers, triggers);
  }

  /** The trace of the delta that is committed next. */
  traced(trace: ReceivedTrace): void {
    this.#pending.traces = newestTraces([...this.#pending.traces, trace]);
  }

  /** The store was changed and now is what `cursor` says. */
  committed(change: StoreChange | undefined, cursor: Cursor, receivedAtMs: number | undefined): void {
    const pending = this.#pending;
    if (change !== undefined) mergeChange(pending, change);
    pending.cursor = cursor;
    pending.receivedAtMs = receivedAtMs ?? pending.receivedAtMs;
    this.#queued();
  }

  nodeViewChanged(view: NodeView): void {
    this.#view = view;
    this.#pending.isNodeChanged = true;
    this.#pending.isViewChanged = true;
    this.#queued();
  }

  addressingChanged(addressing: NodeAddressing): void {
    this.#addressing = addressing;
    this.#pending.isNodeChanged = true;
    this.#queued();
  }

  /** The store's digest was wrong: what is live is acked with the right one. */
  digestCorrected(): void {
    // What waits or runs takes it along.
    if (this.#active === undefined || this.#pending.cursor !== undefined || this.#isRunning) return;
    this.#active = { ...this.#active, digest: this.#options.store.digest };
    this.#options.onChange();
  }

  /** While what is live should be the plan of what is held: nothing waits, runs or has failed. Undefined: not now. */
  get plannerAtRest(): NodePlanner | undefined {
    const isAtRest = this.#active !== undefined && !this.#isRunning && !this.#needsAll && !this.#hasWork();
    return isAtRest ? this.#planner : undefined;
  }

  /** What is live for these is not the plan of what is held, though nothing held changed: neither may be what is on disk. */
  planAgain(services: Iterable<string>): void {
    for (const service of services) this.#pending.touched.add(service);
    this.#pending.cursor ??= this.#cursor;
    this.#isDiskDoubted = true;
    this.#queued();
  }

  /** Resolves once nothing waits to be activated, or cannot be. */
  async settled(): Promise<void> {
    if (this.#isSettled()) return;
    await new Promise<void>((resolve) => this.#settled.push(resolve));
  }

  /** Runs rounds until `signal` aborts; what is live stays. */
  async run(signal: AbortSignal): Promise<void> {
    const poke = (): void => this.#poke();
    signal.addEventListener("abort", poke, { once: true });
    const fileTimer = setInterval(poke, filePollMs);
    try {
      while (!signal.aborted) {
        if (this.#hasWork()) {
          await this.#round();
          if (this.#activationFailure !== undefined) await this.#backOff(signal);
          continue;
        }
        this.#tellSettled();
        this.#rewriteIfDue();
        if (await this.#compacted()) continue;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          if (signal.aborted || this.#hasWork()) resolve();
        });
      }
    } finally {
      clearInterval(fileTimer);
      signal.removeEventListener("abort", poke);
      this.#tellSettled();
      await this.#rewriting;
    }
  }

  async #round(): Promise<void> {
    const { store, dataplane, file, metrics } = this.#options;
    const taken = this.#pending;
    this.#pending = emptyPending();
    const cursor = taken.cursor ?? this.#cursor;
    if (cursor === undefined) {
      // Nothing of any history is held: there is only a node view to remember.
      this.#planner.setNode(this.#planNode());
      if (taken.isViewChanged) file.append({ removed: [], puts: [], commit: { cursor, view: this.#view } });
      return;
    }
    this.#cursor = cursor;
    this.#isRunning = true;
    this.#taken = taken;
    const { digest } = store;
    const view = this.#view;
    const wantsSnapshot = file.wantsSnapshot;
    const whole = wantsSnapshot ? { removed: [], puts: store.resources().copy(), commit: { cursor, view } } : undefined;
    const startMs = performance.now();
    const isAll = this.#needsAll;
    const services = this.#plan(taken, isAll);
    const plannedMs = performance.now();
    let stagedMs = plannedMs;
    let persistedMs = plannedMs;
    const persist = (): void => {
      stagedMs = performance.now();
      file.append({ removed: taken.removed, puts: taken.puts, commit: { cursor, view } });
      persistedMs = performance.now();
    };
    const round: Round = {
      cursor,
      services,
      serviceCidrs: isAll || taken.isViewChanged ? serviceCidrs(view) : undefined,
    };
    let result: RoundResult;
    try {
      result = isAll ? await dataplane.replaceAll(round, persist) : await dataplane.apply(round, persist);
    } catch (error) {
      this.#failed(error, taken, cursor);
      return;
    } finally {
      this.#isRunning = false;
      this.#taken = undefined;
    }
    const activeMs = performance.now();
    this.#needsAll = false;
    this.#failuresInRow = 0;
    this.#activationFailure = undefined;
    this.#failures = result.failures;
    const durations: StepDurations = {
      receivedToActiveUs: taken.receivedAtMs === undefined ? 0 : (activeMs - taken.receivedAtMs) * 1_000,
      planUs: (plannedMs - startMs) * 1_000,
      stageUs: result.stageUs,
      persistUs: (persistedMs - stagedMs) * 1_000,
    };
    this.#active = { cursor, digest, appliedAtUs: (performance.timeOrigin + activeMs) * 1_000, durations };
    metrics.roundDone(durations, taken.receivedAtMs !== undefined);
    const { touched, serviceChanges, backendChanges, triggers } = taken;
    const seconds = (activeMs - startMs) / 1_000;
    this.#options.onRound({ isAll, touched, plans: services, seconds, serviceChanges, backendChanges, triggers });
    if (taken.traces.length > 0) {
      const times = { startMs, plannedMs, stagedMs, persistedMs, activeMs };
      const { length: failures } = result.failures;
      this.#options.onTraced?.({ traces: taken.traces, cursor, times, services: services.length, failures });
    }
    if (whole !== undefined) this.#rewrite(whole);
    this.#options.onChange();
    if (services.length >= bulkServicesMin) this.#isBulky = true;
  }

  #plan(taken: PendingChanges, isAll: boolean): readonly ServicePlan[] {
    const plans = new Map<string, ServicePlan>();
    if (taken.isNodeChanged) {
      const output = this.#planner.setNode(this.#planNode());
      for (const plan of output.plans) plans.set(plan.service, plan);
    }
    const output = isAll ? this.#planner.replanAll() : this.#planner.touch(taken.touched);
    for (const plan of output.plans) plans.set(plan.service, plan);
    this.#notices = output.notices;
    return [...plans.values()];
  }

  // What was taken waits again, below what came meanwhile.
  #failed(error: unknown, taken: PendingChanges, cursor: Cursor): void {
    const newer = this.#pending;
    this.#pending = taken;
    mergePending(taken, newer);
    taken.cursor ??= cursor;
    this.#needsAll = true;
    const reason = `nothing can be activated: ${messageOf(error)}`;
    if (this.#activationFailure === undefined) {
      this.#options.log.error(`${reason}; what is live stays, tried again`, { cursor: printCursor(cursor) });
    }
    this.#activationFailure = reason;
    this.#failuresInRow++;
    this.#options.metrics.roundsFailed.inc();
    this.#options.onChange();
  }

  async #backOff(signal: AbortSignal): Promise<void> {
    this.#tellSettled();
    const ms = Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(this.#failuresInRow - 1, 16));
    await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
  }

  // Once what came in bulk is live and acked.
  async #compacted(): Promise<boolean> {
    // What a rewrite leaves is garbage, too.
    if (!this.#isBulky || this.#rewriting !== undefined) return false;
    this.#isBulky = false;
    await nextTurn();
    await this.#options.compact();
    return true;
  }

  #rewriteIfDue(): void {
    const { file, store } = this.#options;
    // Only what was journaled may be written: before the first round the file's own state may be all there is.
    const isDue = file.wantsSnapshot || this.#isDiskDoubted;
    if (!isDue || this.#active === undefined || this.#pending.cursor !== undefined) return;
    this.#rewrite({
      removed: [],
      puts: store.resources().copy(),
      commit: { cursor: this.#active.cursor, view: this.#view },
    });
  }

  #rewrite(whole: Parameters<StateFile["rewrite"]>[0]): void {
    if (this.#rewriting !== undefined) return;
    this.#isDiskDoubted = false;
    this.#rewriting = this.#options.file.rewrite(whole).finally(() => {
      this.#rewriting = undefined;
      this.#poke();
    });
  }

  #hasWork(): boolean {
    const { cursor, isNodeChanged } = this.#pending;
    return this.#isOpen && (cursor !== undefined || isNodeChanged);
  }

  #isSettled(): boolean {
    return !this.#isRunning && (!this.#hasWork() || this.#activationFailure !== undefined);
  }

  #tellSettled(): void {
    const waiting = this.#settled;
    this.#settled = [];
    for (const resolve of waiting) resolve();
  }

  #queued(): void {
    const nowMs = performance.now();
    this.#pending.sinceMs ??= nowMs;
    this.#queuedAtMs = performance.timeOrigin + nowMs;
    this.#poke();
  }

  #poke(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  #planNode(): ReturnType<typeof planNode> {
    return planNode(this.#options.node, this.#view?.zone ?? "", this.#addressing.addresses, this.#addressing);
  }
}

/** A round of this many services leaves garbage that is worth a pause. */
const bulkServicesMin = 2_000;

/** How often a due snapshot on disk is looked for while nothing changes. */
const filePollMs = 1_000;

function serviceCidrs(view: NodeView | undefined): readonly Prefix[] {
  return (view?.serviceCidrs ?? []).map(({ address, length }) => prefixFromBytes(address, length));
}
