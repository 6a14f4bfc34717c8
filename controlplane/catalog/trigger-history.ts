/** What triggered the changes of the newest revisions. Pure. */
import type { Revision } from "@weft/proto/cursor.ts";
import { hasTriggers, mergeTriggers, noTriggers } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";

/** Revisions with triggers that are remembered: agents further behind are told of the newer ones only. */
const revisionsMax = 256;

export class TriggerHistory {
  // Ascending.
  readonly #revisions: { readonly revision: Revision; readonly triggers: TriggerTimes }[] = [];

  add(revision: Revision, triggers: TriggerTimes): void {
    if (!hasTriggers(triggers)) return;
    this.#revisions.push({ revision, triggers });
    if (this.#revisions.length > revisionsMax) this.#revisions.shift();
  }

  /** Of the revisions after `from`, each in exactly one delta of an agent: its cursor only grows. */
  since(from: Revision): TriggerTimes {
    let triggers = noTriggers;
    for (let i = this.#revisions.length - 1; i >= 0; i--) {
      const entry = this.#revisions[i];
      if (entry === undefined || entry.revision <= from) break;
      triggers = mergeTriggers(triggers, entry.triggers);
    }
    return triggers;
  }
}
