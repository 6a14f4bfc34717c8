/**
 * Time that passes only when told, for everything in this process: timers, immediates, clocks, and chance. The programs run as they
 * are, with their own timers; what they await comes in an order that the seed alone decides. One at a time, since it replaces globals.
 */
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";
import type { Random } from "./random.ts";

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  isCancelled: boolean;
}

/** What `setTimeout` answers here. */
class Timer {
  due: Due;

  constructor(due: Due) {
    this.due = due;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

const realImmediate = setImmediate;
/** Events between two turns of the real event loop: rejections that nobody awaits are told only there. */
const turnEvents = 64;

export class VirtualTime implements Disposable {
  readonly #queue: Due[] = [];
  readonly #restore: () => void;
  #nowMs = 0;
  #order = 0;
  #ran = 0;

  /** @param originMs Unix milliseconds at which it begins. */
  constructor(originMs: number, random: Random) {
    this.#restore = this.#replace(originMs, random);
  }

  /** Milliseconds since it began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events so far. */
  get ran(): number {
    return this.#ran;
  }

  /** What is due at the same time comes in the order in which it was asked for: a sum of two times may miss that by the last bit. */
  at(ms: number, run: () => void): void {
    this.#addAt(Math.max(this.#nowMs, ms), run);
  }

  /** @returns Cancels it. */
  after(ms: number, run: () => void): () => void {
    const due = this.#add(ms, run);
    return () => {
      due.isCancelled = true;
    };
  }

  async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.#add(ms, resolve));
  }

  /** Lets time pass until `untilMs`, or until `isOver` says so; each event runs to its end, promises included. */
  async run(untilMs: number, isOver: () => boolean = () => false): Promise<void> {
    await realTurn();
    while (!isOver()) {
      const due = this.#pop(untilMs);
      if (due === undefined) break;
      this.#nowMs = due.atMs;
      this.#ran++;
      due.run();
      await (this.#ran % turnEvents === 0 ? realTurn() : settled());
    }
    this.#nowMs = Math.max(this.#nowMs, isOver() ? 0 : untilMs);
  }

  [Symbol.dispose](): void {
    this.#restore();
  }

  #add(ms: number, run: () => void): Due {
    return this.#addAt(this.#nowMs + Math.max(0, Number.isFinite(ms) ? ms : 0), run);
  }

  #addAt(atMs: number, run: () => void): Due {
    const due: Due = { atMs, order: this.#order++, run, isCancelled: false };
    // A heap by time, then by order.
    const queue = this.#queue;
    let at = queue.push(due) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = queue[above];
      if (parent === undefined || isBefore(parent, due)) break;
      queue[at] = parent;
      at = above;
    }
    queue[at] = due;
    return due;
  }

  #pop(untilMs: number): Due | undefined {
    for (;;) {
      const first = this.#queue[0];
      if (first === undefined || (!first.isCancelled && first.atMs > untilMs)) return undefined;
      this.#removeFirst();
      if (!first.isCancelled) return first;
    }
  }

  #removeFirst(): void {
    const queue = this.#queue;
    const last = queue.pop();
    if (last === undefined || queue.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      const [left, right] = [queue[below], queue[below + 1]];
      let child = left;
      if (left !== undefined && right !== undefined && isBefore(right, left)) {
        child = right;
        below++;
      }
      if (child === undefined || isBefore(last, child)) break;
      queue[at] = child;
      at = below;
    }
    queue[at] = last;
  }

  #replace(originMs: number, random: Random): () => void {
    const before = {
      setTimeout: globalThis.setTimeout,
      setInterval: globalThis.setInterval,
      setImmediate: globalThis.setImmediate,
      clearTimeout: globalThis.clearTimeout,
      clearInterval: globalThis.clearInterval,
      clearImmediate: globalThis.clearImmediate,
      now: Date.now,
      random: Math.random,
      sleep: timers.setTimeout,
      turn: timers.setImmediate,
    };
    const cancel = (timer: unknown): void => {
      if (timer instanceof Timer) timer.due.isCancelled = true;
    };
    const later = (run: (...given: unknown[]) => void, ms = 0, ...given: unknown[]): Timer =>
      new Timer(this.#add(ms, () => run(...given)));
    const soon = (run: (...given: unknown[]) => void, ...given: unknown[]): Timer =>
      new Timer(this.#add(0, () => run(...given)));
    const often = (run: (...given: unknown[]) => void, ms = 0, ...given: unknown[]): Timer => {
      const again = (): Due =>
        this.#add(Math.max(1, ms), () => {
          timer.due = again();
          run(...given);
        });
      const timer = new Timer(again());
      return timer;
    };
    const sleep = <T>(ms?: number, value?: T, options?: { readonly signal?: AbortSignal }): Promise<T> =>
      new Promise((resolve, reject) => {
        const signal = options?.signal;
        const due = this.#add(ms ?? 0, () => {
          signal?.removeEventListener("abort", stop);
          resolve(value as T);
        });
        const stop = (): void => {
          due.isCancelled = true;
          reject(aborted);
        };
        signal?.addEventListener("abort", stop, { once: true });
      });
    Object.assign(globalThis, {
      setTimeout: later,
      setInterval: often,
      setImmediate: soon,
      clearTimeout: cancel,
      clearInterval: cancel,
      clearImmediate: cancel,
    });
    Date.now = () => Math.floor(originMs + this.#nowMs);
    Math.random = () => random.next();
    // The reason that it makes by itself takes a stack with it.
    const abort = Object.getOwnPropertyDescriptor(AbortController.prototype, "abort") ?? {};
    const abortFor: unknown = abort.value;
    const abortLightly = function abortLightly(this: AbortController, reason: unknown = aborted): void {
      if (typeof abortFor === "function") Reflect.apply(abortFor, this, [reason]);
    };
    Object.defineProperty(AbortController.prototype, "abort", { ...abort, value: abortLightly });
    Object.assign(timers, { setTimeout: sleep, setImmediate: <T>(value?: T) => sleep(0, value) });
    syncBuiltinESMExports();
    const perf = { now: Object.getOwnPropertyDescriptor(performance, "now"), origin: performance.timeOrigin };
    Object.defineProperty(performance, "now", { configurable: true, writable: true, value: () => this.#nowMs });
    Object.defineProperty(performance, "timeOrigin", { configurable: true, value: originMs });
    return () => {
      const { now, random: chance, sleep: realSleep, turn, ...globals } = before;
      Object.assign(globalThis, globals);
      Date.now = now;
      Math.random = chance;
      Object.defineProperty(AbortController.prototype, "abort", abort);
      Object.assign(timers, { setTimeout: realSleep, setImmediate: turn });
      syncBuiltinESMExports();
      if (perf.now === undefined) Reflect.deleteProperty(performance, "now");
      else Object.defineProperty(performance, "now", perf.now);
      Reflect.deleteProperty(performance, "timeOrigin");
    };
  }
}

const aborted = new DOMException("aborted", "AbortError");

function isBefore(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

// Every promise that can go on has gone on: nothing here awaits anything but these timers. A tick comes when no microtask is left,
// without a turn of the event loop.
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

function realTurn(): Promise<void> {
  return new Promise((resolve) => realImmediate(resolve));
}
