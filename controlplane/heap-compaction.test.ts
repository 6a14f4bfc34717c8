import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { madeService } from "./catalog/made-resources.ts";
import type { CompiledResource } from "./catalog/resource.ts";
import { HeapCompaction } from "./heap-compaction.ts";

const large = { puts: Array<CompiledResource>(20_000).fill(madeService("a/b")) };
const idle = { inFlight: 0, stuck: 0, waiting: 0 };

/** How often it looked at the snapshots until it compacted. */
async function looksUntilCompacted(sizes: (looks: number) => typeof idle): Promise<number> {
  let looks = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  using compaction = new HeapCompaction({ snapshots: () => sizes(++looks), compact: resolve, quietMs: 1 });
  compaction.committed(large);
  await promise;
  return looks;
}

describe("the heap is compacted after a large commit", () => {
  for (const [what, busy, looks] of [
    ["at once when no snapshot is on its way", idle, 1],
    ["once no snapshot waits", { ...idle, waiting: 1 }, 4],
    ["once no snapshot is in flight", { ...idle, inFlight: 3, stuck: 2 }, 4],
    ["whatever is stuck", { ...idle, inFlight: 2, stuck: 2 }, 1],
  ] as const)
    test(what, async () => {
      assert.equal(await looksUntilCompacted((at) => (at < 4 ? busy : idle)), looks);
    });

  test("in the end, even if snapshots never cease", async () => {
    assert.equal(await looksUntilCompacted(() => ({ ...idle, waiting: 1 })), 7);
  });

  test("once for several commits, and not for small ones", async () => {
    let [looks, count] = [0, 0];
    const { promise, resolve } = Promise.withResolvers<void>();
    const snapshots = (): typeof idle => {
      looks++;
      return idle;
    };
    const compact = (): void => {
      count++;
      resolve();
    };
    using compaction = new HeapCompaction({ snapshots, compact, quietMs: 1 });
    compaction.committed({ puts: [] });
    compaction.committed(large);
    compaction.committed(large);
    await promise;
    await new Promise((done) => setImmediate(done));
    assert.deepEqual([looks, count], [1, 1]);
  });
});
