/** What a worker tells the main thread: one message per turn of its event loop, in order. */
import type { Revision } from "@weft/proto/cursor.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { SteadyEvents } from "./steady-events.ts";
import type { FromWorker, WorkerBatch } from "./worker-messages.ts";

export class Outbox {
  readonly #post: (batch: WorkerBatch) => void;
  #events: (FromWorker | SteadyEvents)[] = [];
  #renames: number;
  #isDue = false;

  /** `renames`: before this worker began. */
  constructor(post: (batch: WorkerBatch) => void, renames: number) {
    this.#post = post;
    this.#renames = renames;
  }

  put(event: FromWorker): void {
    this.#events.push(event);
    this.#due();
  }

  sent(connection: number, revision: Revision): void {
    this.#steady().sent(connection, revision);
  }

  /** `ack`: one for which `isSteadyAck` holds. */
  acked(connection: number, ack: Ack, roundTripUs: number | undefined, nowUs: number): void {
    this.#steady().acked(connection, ack, roundTripUs, nowUs);
  }

  flush(): void {
    this.#isDue = false;
    if (this.#events.length === 0) return;
    const events = this.#events.map((event) =>
      event instanceof SteadyEvents ? ({ kind: "steady", numbers: event.numbers } as const) : event,
    );
    this.#events = [];
    this.#post({ renames: this.#renames, events });
  }

  /** What is put from now on is of a history of another name. */
  renamed(): void {
    this.flush();
    this.#renames++;
  }

  // Those that come next; what was put before stays before them.
  #steady(): SteadyEvents {
    const last = this.#events.at(-1);
    if (last instanceof SteadyEvents) return last;
    const steady = new SteadyEvents();
    this.#events.push(steady);
    this.#due();
    return steady;
  }

  #due(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.flush());
  }
}
