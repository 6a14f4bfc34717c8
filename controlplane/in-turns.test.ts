import assert from "node:assert/strict";
import { test } from "node:test";
import { inTurns } from "./in-turns.ts";

function* counting(steps: number, step: () => void): Generator<undefined, number> {
  for (let i = 0; i < steps; i++) {
    step();
    yield;
  }
  return steps;
}

test("what is short is done in the turn in which it is asked for", async () => {
  let turns = 0;
  const immediate = setImmediate(() => turns++);
  assert.equal(
    await inTurns(
      counting(3, () => {}),
      Infinity,
    ),
    3,
  );
  assert.equal(turns, 0);
  clearImmediate(immediate);
});

test("what is long leaves turns to others, and is done whole", async () => {
  let turns = 0;
  let isDone = false;
  const other = (): void => {
    turns++;
    if (!isDone) setImmediate(other);
  };
  setImmediate(other);
  assert.equal(
    await inTurns(
      counting(8, () => {}),
      0,
    ),
    8,
  );
  isDone = true;
  assert.ok(turns >= 7, `${turns} turns`);
});

test("what fails, fails", async () => {
  const failing = counting(1, () => {
    throw new RangeError("of a step");
  });
  await assert.rejects(inTurns(failing), /of a step/);
});
