/**
 * When each service changed: a node that failed on a service runs a later revision all the same if the service did not change
 * on the way there. Bounded: what is no longer remembered counts as changed.
 */
import type { Revision } from "@weft/proto/cursor.ts";

/** Changes remembered per service. */
const changesMax = 8;
/** Services remembered, removed ones included. The one that changed longest ago is forgotten first. */
const servicesMax = 131_072;

interface Changes {
  /** Ascending. */
  readonly revisions: Revision[];
  /** The newest change that is no longer in `revisions`; 0: none was dropped. */
  droppedUpTo: number;
}

export class ServiceChanges {
  // In order of the newest change.
  readonly #services = new Map<bigint, Changes>();
  #forgottenUpTo = 0;

  changed(service: bigint, at: Revision): void {
    const changes = this.#services.get(service) ?? { revisions: [], droppedUpTo: 0 };
    // Forgotten before, maybe: then its changes up to there are unknown.
    if (changes.revisions.length === 0) changes.droppedUpTo = this.#forgottenUpTo;
    changes.revisions.push(at);
    if (changes.revisions.length > changesMax) changes.droppedUpTo = changes.revisions.shift() ?? 0;
    this.#services.delete(service);
    this.#services.set(service, changes);
    for (const [oldest, { revisions }] of this.#services) {
      if (this.#services.size <= servicesMax) break;
      this.#forgottenUpTo = Math.max(this.#forgottenUpTo, revisions.at(-1) ?? 0);
      this.#services.delete(oldest);
    }
  }

  /** True unless it is certain that the service did not change in any revision after `after` up to and including `upTo`. */
  hasChanged(service: bigint, after: Revision, upTo: Revision): boolean {
    if (upTo <= after) return false;
    const changes = this.#services.get(service);
    if (changes === undefined) return after < this.#forgottenUpTo;
    return after < changes.droppedUpTo || changes.revisions.some((at) => at > after && at <= upTo);
  }
}
