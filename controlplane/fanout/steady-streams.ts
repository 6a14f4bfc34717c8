/**
 * The streams that only follow: what changes with every revision and ack of theirs, as columns of numbers. A revision touches each of
 * thousands of streams three times (written, on its way, acked), and each has long left the caches by then: eight of them share a
 * line here, and nothing is allocated.
 *
 * The quick transitions are those of `step`, for the commonest events of such a stream; `steady-streams.property.test.ts` holds them
 * against it. Whatever they do not take goes the way of `step`, from the state that `stateOf` gives.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { OpenStream, StreamState, World } from "./stream-state.ts";

const slotsFirst = 64;
/** Of streams that are gone: never steady. */
export const nobody = 0;
/** In the column `writingMs`. */
const notWriting = -1;

export type Published =
  | { readonly kind: "write"; readonly bytes: Uint8Array }
  /** It stands at the head. */
  | { readonly kind: "nothing" }
  /** A write is outstanding. */
  | { readonly kind: "busy" };

const nothing: Published = { kind: "nothing" };
const busy: Published = { kind: "busy" };

/** What has a place here. */
export interface Slotted {
  slot: number;
  /** As `step` left it. */
  state: StreamState;
}

export class SteadyStreams<T extends Slotted> {
  readonly #free: number[] = [];
  // By slot, all streams.
  readonly #streams: (T | undefined)[] = [undefined];
  #isSteady = new Uint8Array(slotsFirst);
  #cursor = new Float64Array(slotsFirst);
  #sent = new Float64Array(slotsFirst);
  #reported = new Float64Array(slotsFirst);
  /** Since when a write is outstanding. */
  #writingMs = new Float64Array(slotsFirst);
  #heardMs = new Float64Array(slotsFirst);
  #nextHeartbeatMs = new Float64Array(slotsFirst);
  // A broadcast writes the same bytes again and again.
  #written: Extract<Published, { kind: "write" }> = { kind: "write", bytes: new Uint8Array(0) };

  enter(stream: T): void {
    const slot = this.#free.pop() ?? this.#streams.length;
    if (slot >= this.#isSteady.length) this.#grow();
    this.#streams[slot] = stream;
    stream.slot = slot;
  }

  leave(stream: T): void {
    const { slot } = stream;
    if (slot === nobody) return;
    this.#isSteady[slot] = 0;
    this.#streams[slot] = undefined;
    this.#free.push(slot);
    stream.slot = nobody;
  }

  /** Its state is another one: from here on what `stateOf` gives is that, but for what quick transitions change. */
  put({ slot, state }: T): void {
    if (slot === nobody || state.phase !== "open" || state.progress.kind !== "following" || !isOnlyFollowing(state)) {
      this.#isSteady[slot] = 0;
      return;
    }
    this.#isSteady[slot] = 1;
    this.#cursor[slot] = state.progress.cursor;
    this.#sent[slot] = state.sent;
    this.#reported[slot] = state.reported;
    this.#writingMs[slot] = state.writing?.sinceMs ?? notWriting;
    this.#heardMs[slot] = state.heardMs;
    this.#nextHeartbeatMs[slot] = state.nextHeartbeatMs;
  }

  /** As it is now. */
  stateOf({ slot, state: last }: T): StreamState {
    if (this.#isSteady[slot] !== 1 || last.phase !== "open") return last;
    const sinceMs = this.#writingMs[slot] ?? notWriting;
    return {
      ...last,
      progress: { kind: "following", cursor: this.#cursor[slot] as Revision },
      sent: this.#sent[slot] as Revision,
      reported: this.#reported[slot] as Revision,
      writing: sinceMs === notWriting ? undefined : { sinceMs },
      heardMs: this.#heardMs[slot] ?? 0,
    };
  }

  isWriting({ slot, state }: T): boolean {
    if (this.#isSteady[slot] === 1) return this.#writingMs[slot] !== notWriting;
    return state.phase === "open" && state.writing !== undefined;
  }

  /** The head moved, or the last write is on its way. Undefined: not quick. */
  published({ slot }: T, world: World, nowMs: number): Published | undefined {
    if (this.#isSteady[slot] !== 1) return undefined;
    if (this.#writingMs[slot] !== notWriting) return busy;
    const cursor = this.#cursor[slot] as Revision;
    if (cursor >= world.head || !world.isSynced) return nothing;
    const transfer = world.delta(cursor);
    if (transfer?.parts !== 1) return undefined;
    const { to } = transfer;
    this.#cursor[slot] = to;
    if (to > (this.#sent[slot] ?? 0)) this.#sent[slot] = to;
    this.#writingMs[slot] = nowMs;
    const bytes = transfer.part(0);
    if (this.#written.bytes !== bytes) this.#written = { kind: "write", bytes };
    return this.#written;
  }

  /**
   * The outstanding write is on its way; `published` comes next. The revision that is reported by that; 0: none is. Undefined: not
   * quick.
   */
  written({ slot }: T): Revision | undefined {
    if (this.#isSteady[slot] !== 1) return undefined;
    this.#writingMs[slot] = notWriting;
    const cursor = this.#cursor[slot] as Revision;
    return this.#report(slot, cursor);
  }

  /** An ack without addresses. The revision that is reported by that, before the ack; 0: none is. Undefined: not quick. */
  acked({ slot }: T, ack: Ack, nowMs: number): Revision | undefined {
    if (this.#isSteady[slot] !== 1 || ack.heartbeat !== 0n || ack.failures.length > 0) return undefined;
    const revision = Number(ack.revision) as Revision;
    if (revision > (this.#sent[slot] ?? 0)) return undefined;
    this.#heardMs[slot] = nowMs;
    return this.#report(slot, revision);
  }

  /** All but those of which a tick changes nothing. */
  due(world: World, nowMs: number): readonly T[] {
    return this.#streams.filter((stream, slot) => stream !== undefined && !this.#isIdle(slot, world, nowMs)) as T[];
  }

  #isIdle(slot: number, { limits }: World, nowMs: number): boolean {
    if (this.#isSteady[slot] !== 1 || nowMs >= (this.#nextHeartbeatMs[slot] ?? 0)) return false;
    if (nowMs - (this.#heardMs[slot] ?? 0) > limits.heartbeatMs * limits.silentIntervals) return false;
    const sinceMs = this.#writingMs[slot] ?? notWriting;
    return sinceMs === notWriting || nowMs - sinceMs <= limits.stalledMs;
  }

  #report(slot: number, revision: Revision): Revision {
    if (revision <= (this.#reported[slot] ?? 0)) return 0 as Revision;
    this.#reported[slot] = revision;
    return revision;
  }

  #grow(): void {
    const length = this.#isSteady.length * 2;
    const isSteady = new Uint8Array(length);
    isSteady.set(this.#isSteady);
    this.#isSteady = isSteady;
    this.#cursor = grown(this.#cursor, length);
    this.#sent = grown(this.#sent, length);
    this.#reported = grown(this.#reported, length);
    this.#writingMs = grown(this.#writingMs, length);
    this.#heardMs = grown(this.#heardMs, length);
    this.#nextHeartbeatMs = grown(this.#nextHeartbeatMs, length);
  }
}

function grown(column: Float64Array<ArrayBuffer>, length: number): Float64Array<ArrayBuffer> {
  const longer = new Float64Array(length);
  longer.set(column);
  return longer;
}

// It owes nothing, has no turn, and was believed: deltas and acks are all that there is.
function isOnlyFollowing(state: OpenStream): boolean {
  const { hasTurn, isOurs, owesWelcome, owesView, owesSynced, owesHeartbeat, unansweredWelcome } = state;
  const owesNothing = owesWelcome === undefined && !owesView && owesSynced === undefined && !owesHeartbeat;
  return owesNothing && !hasTurn && isOurs && unansweredWelcome === undefined;
}
