/** What a worker tells the main thread: one message per turn of its event loop, in order. */
import type { FromWorker, WorkerBatch } from "./worker-messages.ts";

export class Outbox {
  readonly #post: (batch: WorkerBatch) => void;
  #events: FromWorker[] = [];
  #renames: number;
  #isDue = false;

  /** `renames`: before this worker began. */
  constructor(post: (batch: WorkerBatch) => void, renames: number) {
    this.#post = post;
    this.#renames = renames;
  }

  put(event: FromWorker): void {
    this.#events.push(event);
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#isDue = false;
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.#post({ renames: this.#renames, events });
  }

  /** What is put from now on is of a history of another name. */
  renamed(): void {
    this.flush();
    this.#renames++;
  }
}
