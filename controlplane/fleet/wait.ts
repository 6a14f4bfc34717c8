/**
 * One wait as a state machine. It decides what is needed and when the wait ends; counting nodes is the fleet's.
 *
 *   unsynced --> choosable <--> counting --> ended        (drained backends)
 *                               counting --> ended        (a revision)
 *
 * Invariants, each with a test in wait.test.ts:
 * - W1 `done` only in `counting`, by a count of the nodes that run exactly the revision needed now.
 * - W2 A drained wait needs the first head in which none of its backends can be chosen; one that can be chosen again voids it.
 * - W3 A revision of an ended epoch is never done. A drained wait starts over in the new epoch.
 * - W4 Nothing follows `ended`.
 */
import { isSameEpoch, printEpoch, revision } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { printSocketAddress } from "@weft/proto/address.ts";
import type { BackendAddress, Choosability } from "./choosability.ts";

export type WaitTarget =
  | { readonly kind: "revision"; readonly epoch: Epoch; readonly revision: Revision }
  /** At least one, without repeats. */
  | { readonly kind: "drained"; readonly backends: readonly BackendAddress[] };

export type WaitState =
  /** The source has not delivered everything, or nothing was committed. */
  | { readonly kind: "unsynced" }
  /** `reason`: who can still choose which backend. */
  | { readonly kind: "choosable"; readonly reason: string }
  | { readonly kind: "counting"; readonly needed: Revision }
  | { readonly kind: "ended"; readonly outcome: "done" | "timeout" | "epoch-ended" };

export type WaitEvent =
  /** The head as it is now. `choosability` has one entry per backend of a drained wait. */
  | {
      readonly kind: "head";
      readonly epoch: Epoch;
      readonly revision: Revision;
      readonly isSynced: boolean;
      readonly choosability: readonly Choosability[];
    }
  /** Nodes that run `needed`, and how many are enough; `blocked`: why nothing completes now, whatever the count. */
  | {
      readonly kind: "count";
      readonly needed: Revision;
      readonly have: number;
      readonly need: number;
      readonly blocked: string | undefined;
    }
  /** Time passed. */
  | { readonly kind: "clock" };

export interface Wait {
  readonly target: WaitTarget;
  readonly epoch: Epoch;
  readonly deadlineMs: number;
  readonly state: WaitState;
  readonly notes: readonly string[];
}

/** Notes of one wait; later ones are dropped. */
export const notesMax = 64;

export function startWait(target: WaitTarget, epoch: Epoch, deadlineMs: number): Wait {
  const state: WaitState =
    target.kind === "revision" ? { kind: "counting", needed: target.revision } : { kind: "unsynced" };
  return { target, epoch, deadlineMs, state, notes: [] };
}

/** The wait after the event. New notes are at the end of `notes`. */
export function stepWait(wait: Wait, event: WaitEvent, nowMs: number): Wait {
  if (wait.state.kind === "ended") return wait;
  switch (event.kind) {
    case "head":
      return wait.target.kind === "revision"
        ? stepRevision(wait, wait.target.epoch, event)
        : stepDrained(wait, wait.target.backends, event);
    case "count": {
      if (wait.state.kind !== "counting" || wait.state.needed !== event.needed) return wait;
      if (event.blocked !== undefined) return noted(wait, event.blocked);
      return event.have >= event.need ? ended(wait, "done") : wait;
    }
    case "clock":
      return nowMs >= wait.deadlineMs ? ended(wait, "timeout") : wait;
  }
}

type Head = WaitEvent & { readonly kind: "head" };

function stepRevision(wait: Wait, asked: Epoch, head: Head): Wait {
  if (isSameEpoch(asked, head.epoch)) return wait;
  return ended(
    noted(wait, `epoch ${printEpoch(asked)} is not, or no longer, the current one, ${printEpoch(head.epoch)}`),
    "epoch-ended",
  );
}

function stepDrained(before: Wait, backends: readonly BackendAddress[], head: Head): Wait {
  let wait = before;
  if (!isSameEpoch(wait.epoch, head.epoch)) {
    wait = noted(wait, `epoch ${printEpoch(wait.epoch)} ended; the wait starts over in ${printEpoch(head.epoch)}`);
    wait = { ...wait, epoch: head.epoch, state: { kind: "unsynced" } };
  }
  // Revision 0 is what every node acks that runs nothing of this epoch: it proves nothing.
  if (!head.isSynced || head.revision === 0) return { ...wait, state: { kind: "unsynced" } };
  const reasons: string[] = [];
  for (const [i, backend] of backends.entries()) {
    const name = printSocketAddress(backend.address, backend.port);
    const choosability = head.choosability[i];
    if (choosability === undefined) throw new RangeError(`no choosability for ${name}`);
    if (choosability.kind === "choosable") reasons.push(`${choosability.service} can choose ${name}`);
    if (choosability.kind === "fallback") {
      reasons.push(`${choosability.service} can choose ${name}, which is terminating`);
      wait = noted(
        wait,
        `${choosability.service} has no ready endpoint, so it can still choose ${name}, which is terminating; ` +
          "it is drained when another becomes ready or this one stops serving or is gone",
      );
    }
    if (choosability.kind === "absent" && wait.state.kind === "unsynced")
      wait = noted(wait, `no service holds ${name}`);
  }
  const reason = reasons[0];
  if (reason !== undefined) {
    if (wait.state.kind === "counting") wait = noted(wait, `${reason} again; the wait starts over`);
    return { ...wait, state: { kind: "choosable", reason } };
  }
  return wait.state.kind === "counting"
    ? wait
    : { ...wait, state: { kind: "counting", needed: revision(head.revision) } };
}

function ended(wait: Wait, outcome: "done" | "timeout" | "epoch-ended"): Wait {
  return { ...wait, state: { kind: "ended", outcome } };
}

function noted(wait: Wait, note: string): Wait {
  return wait.notes.includes(note) || wait.notes.length >= notesMax ? wait : { ...wait, notes: [...wait.notes, note] };
}
