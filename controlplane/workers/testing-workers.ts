/** For tests: real worker threads that can be made to fail one by one, and what each of them serves. */
import { revision } from "@weft/proto/cursor.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import { sharedCommit } from "./shared-commit.ts";
import type { WorkerStart } from "./worker-messages.ts";
import { spawnThread } from "./worker-slot.ts";
import type { WorkerThread } from "./worker-slot.ts";

export class TestingWorkers {
  readonly #threads = new Map<number, WorkerThread>();
  readonly #workerOf = new Map<string, number>();
  readonly #calls: number[] = [];

  /** The worker of each fleet call so far, in order. */
  get calls(): readonly number[] {
    return this.#calls;
  }

  spawn = (start: WorkerStart): WorkerThread => {
    const thread = spawnThread(start);
    this.#threads.set(start.worker, thread);
    thread.on("message", ({ events }) => {
      for (const event of events) {
        if (event.kind === "connected") this.#workerOf.set(event.connection.node, start.worker);
        if (event.kind === "call") this.#calls.push(start.worker);
      }
    });
    return thread;
  };

  /** The worker that a node connected to last; undefined: none yet. */
  workerOf(node: string): number | undefined {
    return this.#workerOf.get(node);
  }

  /** Gives it a commit that does not follow its head, which no worker catches. */
  fail(worker: number): void {
    const commit = sharedCommit({ revision: revision(999_999), puts: [], removals: [], triggers: noTriggers });
    this.#threads.get(worker)?.postMessage({ kind: "commit", commit, isHead: false, trace: undefined });
  }
}
