import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SnapshotQueue } from "./snapshot-queue.ts";

const turnMs = 100;
const stuckMs = 10;
const limits = {
  snapshotsMax: 1,
  snapshotStuckMs: stuckMs,
  snapshotTurnMs: turnMs,
  snapshotsStuckMax: 2,
  streamsPerTurn: 8,
};

/** One turn, two that may be lent. Whoever asks is granted as soon as it may be; who stops reads nothing more. */
class Turns {
  readonly #stuckSinceMs = new Map<string, number>();
  readonly granted: string[] = [];
  readonly ended: string[] = [];
  #nowMs = 0;
  readonly #queue = new SnapshotQueue<string>({
    limits,
    now: () => this.#nowMs,
    granted: (of) => this.granted.push(of),
    stuckSinceMs: (of) => this.#stuckSinceMs.get(of),
    end: (of) => {
      this.ended.push(of);
      this.#queue.release(of);
    },
    idle: () => {},
  });

  async ask(...names: readonly string[]): Promise<void> {
    for (const name of names) this.#queue.request(name, "wrong");
    await turnOfTheLoop();
  }

  async after(ms: number): Promise<void> {
    this.#nowMs += ms;
    this.#queue.tick(this.#nowMs);
    await turnOfTheLoop();
  }

  stops(name: string): void {
    this.#stuckSinceMs.set(name, this.#nowMs);
  }

  get lent(): number {
    return this.#queue.sizes.stuck;
  }
}

const turnOfTheLoop = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("turns for snapshots, over time", () => {
  test("a slow one lends its turn once it has lasted, and is not ended", async () => {
    const turns = new Turns();
    await turns.ask("slow", "next");
    await turns.after(turnMs);
    assert.deepEqual(turns.granted, ["slow"]);
    await turns.after(1);
    assert.deepEqual([turns.granted, turns.lent, turns.ended], [["slow", "next"], 1, []]);
    await turns.ask("third");
    await turns.after(turnMs);
    assert.equal(turns.granted.length, 2, "the turn of the next one began when it was granted");
  });

  test("not while nobody waits", async () => {
    const turns = new Turns();
    await turns.ask("slow");
    await turns.after(5 * turnMs);
    assert.equal(turns.lent, 0);
    await turns.ask("next");
    await turns.after(1);
    assert.deepEqual(turns.granted, ["slow", "next"]);
  });

  test("not beyond the bound, which holds for slow and stuck ones together", async () => {
    const turns = new Turns();
    await turns.ask("a", "b", "c", "d");
    for (let i = 0; i < 5; i++) await turns.after(turnMs + 1);
    assert.deepEqual([turns.granted, turns.lent, turns.ended], [["a", "b", "c"], 2, []]);
  });

  test("beyond the bound the one stuck longest is ended, and none that is only slow", async () => {
    const turns = new Turns();
    await turns.ask("slow", "first", "second", "last");
    await turns.after(turnMs + 1);
    turns.stops("first");
    await turns.after(stuckMs);
    assert.deepEqual(turns.granted, ["slow", "first"]);
    await turns.after(1);
    assert.deepEqual([turns.granted, turns.ended], [["slow", "first", "second"], []]);
    turns.stops("second");
    await turns.after(stuckMs + 1);
    assert.deepEqual([turns.granted, turns.ended], [["slow", "first", "second", "last"], ["first"]]);
  });

  test("beyond the bound one that is stuck is ended where the others are only slow", async () => {
    const turns = new Turns();
    await turns.ask("a", "b", "c", "d");
    for (let i = 0; i < 2; i++) await turns.after(turnMs + 1);
    turns.stops("c");
    await turns.after(stuckMs + 1);
    assert.deepEqual([turns.granted, turns.ended], [["a", "b", "c", "d"], ["c"]]);
  });
});
