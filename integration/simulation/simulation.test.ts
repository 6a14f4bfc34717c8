/** Some seeds of the simulation; `npm run simulate` runs as many as one likes. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Counts } from "./counts.ts";
import { simulate } from "./simulation.ts";

const fixedSeeds = 100;
const randomSeeds = 30;
/** They need more runs than a test has. */
const rare = new Set<string>(["epoch renamed"]);

suite("simulation", () => {
  test("holds every invariant for known seeds, and meets everything that it is for", async () => {
    const counts = new Counts();
    for (let seed = 1; seed <= fixedSeeds; seed++) counts.addAll((await held(seed)).times);
    const missing = counts.missing().filter((what) => !rare.has(what));
    assert.deepEqual(missing, [], counts.print());
  });

  test("holds every invariant for seeds that nobody chose", async () => {
    const first = Math.floor(Math.random() * 1e9);
    for (let seed = first; seed < first + randomSeeds; seed++) await held(seed);
  });

  test("is the same for the same seed", async () => {
    const [once, again]: [string[], string[]] = [[], []];
    await simulate(7, (line) => once.push(line));
    await simulate(7, (line) => again.push(line));
    assert.ok(once.length > 100);
    assert.deepEqual(once, again);
  });
});

async function held(seed: number): Promise<Counts> {
  const { violation, counts } = await simulate(seed);
  assert.equal(violation, undefined, `npm run simulate -- --seed ${seed} --trace`);
  return counts;
}
