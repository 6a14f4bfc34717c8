/** One kind of objects, followed: does what `step` says, and feeds it with what happens. Owns the time and the chance. */
import { setTimeout as delay } from "node:timers/promises";
import { unixMs } from "@weft/proto/program/clock.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Projection } from "../projection.ts";
import type { RecordChange } from "../source.ts";
import { ApiError } from "./api-client.ts";
import type { ApiClient } from "./api-client.ts";
import { codeOf, printFailure } from "./api-failure.ts";
import type { ApiFailure } from "./api-failure.ts";
import { CodecError } from "./codec.ts";
import type { Codec, WatchMessage } from "./codec.ts";
import type { FailureLog } from "./failure-log.ts";
import { HeldObjects } from "./held-objects.ts";
import type { Difference } from "./held-objects.ts";
import type { KubernetesMetrics } from "./kubernetes-metrics.ts";
import { QuietTimer } from "./quiet-timer.ts";
import { freshMemory, quietMsOf } from "./reflector-state.ts";
import type {
  ReflectorEffect,
  ReflectorEvent,
  ReflectorLimits,
  ReflectorRequest,
  ReflectorState,
  SyncReason,
} from "./reflector-state.ts";
import { step } from "./reflector-step.ts";
import { requestPath } from "./request-path.ts";
import type { WatchedKind } from "./watched-kind.ts";

/** What comes of following. */
export interface ReflectorSink {
  /** Of one event. */
  changed(changes: readonly RecordChange[], noticedAtMs: number): void;
  /** Of comparing everything; called also if nothing differs. From the first call on the kind is synced. */
  compared(changes: readonly RecordChange[], noticedAtMs: number): void;
  refused(added: readonly string[], cleared: readonly string[]): void;
}

export interface ReflectorOptions {
  readonly kind: WatchedKind;
  readonly client: ApiClient;
  readonly codec: Codec;
  readonly sink: ReflectorSink;
  readonly limits: ReflectorLimits;
  readonly log: Log;
  /** Shared by all kinds: they fail alike. */
  readonly failureLog: FailureLog;
  readonly metrics: KubernetesMetrics;
}

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #held: HeldObjects;
  #state: ReflectorState = { phase: "idle", memory: freshMemory };
  #request: ReflectorRequest | undefined;
  #collected = new Map<string, Projection>();
  #noticedAtMs = 0;
  #isSynced = false;
  #heardMs: number | undefined;
  #lastFailure: ApiFailure | undefined;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#held = new HeldObjects(options.kind.kind);
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Records held. */
  get size(): number {
    return this.#held.size;
  }

  /** Milliseconds since the last byte; undefined: none yet. */
  get heardMsAgo(): number | undefined {
    return this.#heardMs === undefined ? undefined : performance.now() - this.#heardMs;
  }

  /** Why it is not synced; undefined: it has not failed since it last worked. */
  get trouble(): string | undefined {
    const { kind, client } = this.#options;
    return this.#lastFailure === undefined ? undefined : printFailure(this.#lastFailure, kind, client.server);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#feed({ kind: "start" });
    while (!signal.aborted) {
      const request = this.#request;
      if (request === undefined) throw new Error(`the reflector of ${this.#options.kind.kind} has nothing to do`);
      this.#request = undefined;
      if (request.kind === "wait") await this.#wait(request.delayMs, signal);
      else await this.#ask(request, signal);
    }
  }

  async #wait(delayMs: number, signal: AbortSignal): Promise<void> {
    try {
      await delay(delayMs, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
      return;
    }
    this.#feed({ kind: "due" });
  }

  async #ask(request: Exclude<ReflectorRequest, { kind: "wait" }>, signal: AbortSignal): Promise<void> {
    const given = new AbortController();
    const failed = (failure: ApiFailure): void => void this.#feed({ kind: "failed", failure });
    using quiet = new QuietTimer(
      () => quietMsOf(this.#state, this.#options.limits),
      (afterMs) => given.abort({ kind: "silent", afterMs } satisfies ApiFailure),
    );
    const asked = AbortSignal.any([signal, given.signal]);
    if (request.kind === "stream" || (request.kind === "list" && request.continueToken === "")) this.#collected.clear();
    try {
      if (request.kind === "list") await this.#list(request, asked, quiet);
      else await this.#watch(request, asked, quiet);
    } catch (error) {
      if (signal.aborted) return;
      if (given.signal.aborted) failed(given.signal.reason as ApiFailure);
      else if (error instanceof ApiError) failed(error.failure);
      else if (error instanceof CodecError) failed({ kind: "malformed", message: error.message });
      else throw error;
    }
  }

  async #list(
    request: ReflectorRequest & { readonly kind: "list" },
    signal: AbortSignal,
    quiet: QuietTimer,
  ): Promise<void> {
    const { kind, client, codec } = this.#options;
    const asked = { path: requestPath(kind, request), accept: codec.acceptList(kind), signal };
    const body = await client.whole(asked, () => this.#heard(quiet));
    const page = codec.page(kind, body);
    this.#noticedAtMs = unixMs();
    for (const { name, projection } of page.objects) this.#collected.set(name, projection);
    this.#feed({ kind: "page", version: page.version, continueToken: page.continueToken });
  }

  async #watch(
    request: ReflectorRequest & { readonly kind: "stream" | "watch" },
    signal: AbortSignal,
    quiet: QuietTimer,
  ): Promise<void> {
    const { kind, client, codec, metrics } = this.#options;
    const asked = { path: requestPath(kind, request), accept: codec.acceptWatch(kind), signal };
    const reader = codec.watchReader(kind);
    const open = metrics.watchesOpen.with(kind.kind);
    let isOpen = false;
    const opened = (): void => {
      isOpen = true;
      open.inc();
      this.#heard(quiet);
      this.#feed({ kind: "opened" });
    };
    try {
      for await (const chunk of client.chunks(asked, opened)) {
        this.#noticedAtMs = unixMs();
        for (const message of reader.push(chunk)) {
          this.#take(message);
          // Another request: this one is over.
          if (this.#request !== undefined) return;
        }
        this.#heard(quiet);
      }
    } finally {
      if (isOpen) open.inc(-1);
    }
    this.#feed(
      reader.isWithin
        ? { kind: "failed", failure: { kind: "torn", message: "it ended within an event" } }
        : { kind: "ended" },
    );
  }

  #take(message: WatchMessage): void {
    const { events } = this.#options.metrics;
    const { kind } = this.#options.kind;
    switch (message.kind) {
      case "error":
        this.#feed({ kind: "failed", failure: message.failure });
        return;
      case "bookmark":
        events.with(kind, "bookmark").inc();
        this.#feed(message);
        return;
      case "put":
      case "remove": {
        const effects = this.#feed({ kind: "object", version: message.version });
        const isReplay = effects.some((effect) => effect.kind === "skip");
        events.with(kind, isReplay ? "replay" : message.kind).inc();
        for (const effect of effects) {
          if (effect.kind === "collect") this.#collect(message);
          if (effect.kind === "apply") {
            this.#deliver(message.kind === "put" ? this.#held.put(message.object) : this.#held.remove(message.name));
          }
        }
      }
    }
  }

  #collect(message: WatchMessage & { readonly kind: "put" | "remove" }): void {
    if (message.kind === "put") this.#collected.set(message.object.name, message.object.projection);
    else this.#collected.delete(message.name);
  }

  // Effects on objects are left to who has the object.
  #feed(event: ReflectorEvent): readonly ReflectorEffect[] {
    const { kind, limits } = this.#options;
    const nowMs = performance.now();
    const next = step(this.#state, event, { nowMs, jitter: Math.random(), isOptional: kind.isOptional, limits });
    this.#state = next.state;
    if (next.request !== undefined) this.#request = next.request;
    for (const effect of next.effects) this.#do(effect);
    return next.effects;
  }

  #do(effect: ReflectorEffect): void {
    switch (effect.kind) {
      case "collect":
      case "apply":
      case "skip":
        return;
      case "replace":
        this.#replace(effect.reason);
        return;
      case "absent":
        this.#absent();
        return;
      case "renew":
        this.#options.client.renewCredentials();
        return;
      case "report":
        this.#report(effect.failure);
        return;
      case "fall-back":
        this.#fallBack(effect.failure);
    }
  }

  #replace(reason: SyncReason): void {
    const { kind, log, failureLog, metrics, sink } = this.#options;
    const collected = this.#collected;
    this.#collected = new Map();
    const difference = this.#held.replace(collected);
    if (this.#lastFailure !== undefined) {
      this.#lastFailure = undefined;
      failureLog.clear();
    }
    metrics.syncs.with(kind.kind, reason).inc();
    const counts = { objects: collected.size, records: this.#held.size, changes: difference.changes.length };
    log.info(`read all ${kind.resource}`, { reason, ...counts });
    this.#isSynced = true;
    this.#say(difference);
    sink.compared(difference.changes, this.#noticedAtMs);
  }

  #absent(): void {
    const { kind, log, client, sink } = this.#options;
    if (!this.#isSynced) log.info(`the API server ${client.server} does not serve ${kind.resource}: there are none`);
    this.#isSynced = true;
    sink.compared([], unixMs());
  }

  #report(failure: ApiFailure): void {
    const { kind, client, log, failureLog, metrics } = this.#options;
    this.#lastFailure = failure;
    metrics.errors.with(kind.kind, codeOf(failure)).inc();
    const text = printFailure(failure, kind, client.server);
    if (failureLog.isDue(text, performance.now())) log.warn(`${text}; it is tried again`);
  }

  #fallBack(failure: ApiFailure): void {
    const { kind, client, log, metrics } = this.#options;
    metrics.errors.with(kind.kind, codeOf(failure)).inc();
    const said = printFailure(failure, kind, client.server);
    log.debug(`initial events of ${kind.resource} are refused, so lists are read: ${said}`);
  }

  #deliver(difference: Difference): void {
    this.#say(difference);
    this.#options.sink.changed(difference.changes, this.#noticedAtMs);
  }

  #say({ refused, noLongerRefused }: Difference): void {
    if (refused.length > 0 || noLongerRefused.length > 0) this.#options.sink.refused(refused, noLongerRefused);
  }

  #heard(quiet: QuietTimer): void {
    this.#heardMs = performance.now();
    quiet.touch();
  }
}
