/**
 * What was found to differ, by the digest of what was compared. Thousands of agents come back with the same state from a control plane
 * that was started again: one of them is asked, all are sent the same bytes.
 *
 * An agent that lies about what it holds under the digest of others harms none of them: what is put is ours, what is removed is nothing of ours. It
 * only does not bring them to the head, and the heartbeat that follows each repair finds that; a mismatch is never answered from here.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import type { Differences } from "./comparison.ts";
import type { Transfer } from "./transfer.ts";

/** Digests remembered, and resources that they differ in. */
const digestsMax = 64;
const resourcesMax = 65_536;

interface Known {
  readonly differences: Differences;
  /** To the newest head that was asked for, by the mark that it carries. */
  readonly transfers: Map<boolean, Transfer>;
  to: Revision | undefined;
}

export class KnownDifferences {
  readonly #byDigest = new Map<bigint, Known>();
  #resources = 0;

  get(digest: bigint): Differences | undefined {
    return this.#byDigest.get(digest)?.differences;
  }

  /** The oldest are forgotten beyond the limits. */
  remember(digest: bigint, differences: Differences): void {
    this.#forget(digest);
    this.#byDigest.set(digest, { differences, transfers: new Map(), to: undefined });
    this.#resources += sizeOf(differences);
    for (const oldest of this.#byDigest.keys()) {
      if (this.#byDigest.size <= digestsMax && this.#resources <= resourcesMax) return;
      this.#forget(oldest);
    }
  }

  /** One Transfer for all that ask for the same; made if there is none. */
  shared(digest: bigint, to: Revision, isConfirmed: boolean, make: () => Transfer): Transfer {
    const known = this.#byDigest.get(digest);
    if (known === undefined) return make();
    if (known.to !== to) known.transfers.clear();
    known.to = to;
    const made = known.transfers.get(isConfirmed) ?? make();
    known.transfers.set(isConfirmed, made);
    return made;
  }

  #forget(digest: bigint): void {
    const known = this.#byDigest.get(digest);
    if (known === undefined) return;
    this.#byDigest.delete(digest);
    this.#resources -= sizeOf(known.differences);
  }
}

function sizeOf({ puts, removed }: Differences): number {
  return puts.length + removed.length;
}
