/**
 * What a worker tells of thousands of agents at every revision, as numbers in one array: "was sent R" and acks of the usual kind. As
 * objects and encoded messages they cost both threads several times what they say. Everything else goes as an event of its own.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import type { Ack, Counts, Durations } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { digestOf, halvesOf, plainAck } from "../fanout/plain-ack.ts";

export interface SteadyReader {
  sent(connection: number, revision: Revision): void;
  acked(connection: number, ack: Ack, roundTripUs: number | undefined, nowUs: number): void;
}

/** The first number of an entry. */
const entry = { sent: 0, acked: 1 } as const;
const numbersOf = { sent: 3, acked: 15 } as const;
/** For what is not there; all that is told is 0 or more. */
const absent = -1;
const firstNumbers = 1_024;

/** Whether `SteadyEvents.acked` can tell it. */
export function isSteadyAck({ failures, failuresTotal, addresses, revision, appliedAtUs, heartbeat }: Ack): boolean {
  return (
    failures.length === 0 &&
    failuresTotal === 0 &&
    addresses === undefined &&
    isExact(revision) &&
    isExact(appliedAtUs) &&
    isExact(heartbeat)
  );
}

function isExact(value: bigint): boolean {
  return value <= Number.MAX_SAFE_INTEGER;
}

export class SteadyEvents {
  #numbers = new Float64Array(firstNumbers);
  #length = 0;

  /** A copy. */
  get numbers(): Float64Array {
    return this.#numbers.slice(0, this.#length);
  }

  sent(connection: number, revision: Revision): void {
    const at = this.#grow(numbersOf.sent);
    const numbers = this.#numbers;
    numbers[at] = entry.sent;
    numbers[at + 1] = connection;
    numbers[at + 2] = revision;
  }

  acked(connection: number, ack: Ack, roundTripUs: number | undefined, nowUs: number): void {
    const at = this.#grow(numbersOf.acked);
    const numbers = this.#numbers;
    const { durations, counts, digest } = ack;
    numbers[at] = entry.acked;
    numbers[at + 1] = connection;
    numbers[at + 2] = nowUs;
    numbers[at + 3] = roundTripUs ?? absent;
    numbers[at + 4] = Number(ack.revision);
    numbers[at + 5] = Number(ack.appliedAtUs);
    numbers[at + 6] = Number(ack.heartbeat);
    const halves = halvesOf(digest);
    numbers[at + 7] = halves.high;
    numbers[at + 8] = halves.low;
    numbers[at + 9] = durations?.receivedToActiveUs ?? absent;
    numbers[at + 10] = durations?.planUs ?? absent;
    numbers[at + 11] = durations?.stageUs ?? absent;
    numbers[at + 12] = durations?.persistUs ?? absent;
    numbers[at + 13] = counts?.services ?? absent;
    numbers[at + 14] = counts?.backends ?? absent;
  }

  // Where the next entry begins.
  #grow(by: number): number {
    const at = this.#length;
    this.#length += by;
    if (this.#length > this.#numbers.length) {
      const before = this.#numbers;
      this.#numbers = new Float64Array(before.length * 2);
      this.#numbers.set(before);
    }
    return at;
  }
}

/** @throws RangeError if these are none. */
export function readSteadyEvents(numbers: Float64Array, reader: SteadyReader): void {
  let at = 0;
  const next = (): number => numbers[at++] ?? absent;
  while (at < numbers.length) {
    const kind = next();
    const connection = next();
    if (kind === entry.sent) {
      reader.sent(connection, next() as Revision);
      continue;
    }
    if (kind !== entry.acked) throw new RangeError(`no steady event is of kind ${kind}`);
    const [nowUs, roundTripUs, revision, appliedAtUs, heartbeat] = [next(), next(), next(), next(), next()];
    const digest = digestOf(next(), next());
    const [receivedToActiveUs, planUs, stageUs, persistUs] = [next(), next(), next(), next()];
    const [services, backends] = [next(), next()];
    const durations: Durations | undefined =
      receivedToActiveUs === absent
        ? undefined
        : { $typeName: "weft.discovery.v1.Durations", receivedToActiveUs, planUs, stageUs, persistUs };
    const counts: Counts | undefined =
      services === absent ? undefined : { $typeName: "weft.discovery.v1.Counts", services, backends };
    const ack = plainAck(revision, appliedAtUs, digest, heartbeat, durations, counts);
    reader.acked(connection, ack, roundTripUs === absent ? undefined : roundTripUs, nowUs);
  }
}
