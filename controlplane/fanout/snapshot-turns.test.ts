import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SnapshotTurns } from "./snapshot-turns.ts";

/** Grants one turn after the other, each given back at once. */
function order(turns: SnapshotTurns<string>): string[] {
  const granted: string[] = [];
  for (let next = turns.grant(1, 0); next.length > 0; next = turns.grant(1, 0)) {
    granted.push(...next);
    for (const one of next) turns.release(one);
  }
  return granted;
}

describe("turns for snapshots", () => {
  test("those who serve something wrong go first, in order of asking; every fourth turn is for the others", () => {
    const turns = new SnapshotTurns<string>({ turnsMax: 1, lentMax: 1 });
    for (const one of ["v1", "v2", "v3"]) turns.request(one, "verify");
    for (const one of ["w1", "w2", "w3", "w4", "w5"]) turns.request(one, "wrong");
    assert.deepEqual(order(turns), ["w1", "w2", "w3", "v1", "w4", "w5", "v2", "v3"]);
  });

  test("one that asks again keeps its place; one that asks for another reason takes a new one", () => {
    const turns = new SnapshotTurns<string>({ turnsMax: 1, lentMax: 1 });
    for (const one of ["a", "b", "a"]) turns.request(one, "wrong");
    turns.request("v", "verify");
    turns.request("v", "wrong");
    assert.equal(turns.waiting, 3);
    assert.deepEqual(order(turns), ["a", "b", "v"]);
  });

  test("no more at a time than there are turns", () => {
    const turns = new SnapshotTurns<string>({ turnsMax: 2, lentMax: 1 });
    for (const one of ["a", "b", "c"]) turns.request(one, "wrong");
    assert.deepEqual(turns.grant(10, 0), ["a", "b"]);
    assert.deepEqual(turns.grant(10, 0), []);
    turns.release("a");
    assert.deepEqual(turns.grant(10, 0), ["c"]);
  });

  test("a turn that is lent makes room for another; beyond the limit one must end", () => {
    const turns = new SnapshotTurns<string>({ turnsMax: 1, lentMax: 1 });
    for (const one of ["a", "b", "c"]) turns.request(one, "wrong");
    assert.deepEqual(turns.grant(1, 0), ["a"]);
    assert.equal(turns.lend("a"), true);
    assert.equal(turns.lend("a"), true, "it is lent already");
    assert.equal(turns.hasRoomToLend, false);
    assert.deepEqual(turns.grant(1, 0), ["b"]);
    assert.equal(turns.lend("b"), false);
    assert.deepEqual([...turns.lenders()], ["a", "b"], "the longest first");
    turns.release("a");
    assert.deepEqual([turns.granted, turns.lent, turns.waiting], [0, 1, 1]);
    turns.request("b", "wrong");
    assert.equal(turns.waiting, 1, "one in flight does not wait");
  });
});
