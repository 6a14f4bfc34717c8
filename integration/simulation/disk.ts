/**
 * The state folder of a node: what the agent's state file does, without a disk. A killed agent finds what it wrote last; after a power
 * failure what was written within the last second may be gone, from the end.
 */
import { Digest } from "@weft/proto/digest.ts";
import { hash64 } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { HeldResources } from "@weft/nodeagent/sync/held-resources.ts";
import { bytesOf } from "@weft/nodeagent/sync/kept-bytes.ts";
import type { HeldResource } from "@weft/nodeagent/sync/received-resource.ts";
import type { SavedState, StateCommit, StateWrite } from "@weft/nodeagent/sync/state-codec.ts";
import { snapshotRetryMs, syncIntervalMs } from "@weft/nodeagent/sync/state-file.ts";
import type { Random } from "./random.ts";

interface Written extends StateCommit {
  readonly resources: ReadonlyMap<ResourceId, HeldResource>;
}

interface Version {
  readonly atMs: number;
  readonly state: Written | undefined;
}

export class Disk {
  /** Writes fail. */
  isFull = false;
  readonly #nowMs: () => number;
  // Oldest first: the first one is safe.
  #versions: Version[] = [{ atMs: 0, state: undefined }];
  #retryAtMs: number | undefined;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** What an agent that starts finds: of its own, to change. */
  get saved(): SavedState | undefined {
    const state = this.#state;
    if (state === undefined) return undefined;
    const digest = new Digest();
    for (const [id, { bytes }] of state.resources) digest.add(id, hash64(bytesOf(bytes)));
    return { ...state, resources: new HeldResources(state.resources), digest };
  }

  get wantsSnapshot(): boolean {
    return this.#retryAtMs !== undefined && this.#nowMs() >= this.#retryAtMs;
  }

  append(write: StateWrite): void {
    if (this.#retryAtMs !== undefined) return;
    if (this.isFull) {
      this.#retryAtMs = this.#nowMs() + snapshotRetryMs;
      return;
    }
    const resources = new Map(this.#state?.resources);
    for (const id of write.removed) resources.delete(id);
    for (const [id, resource] of write.puts) resources.set(id, resource);
    this.#keep({ ...write.commit, resources });
  }

  rewrite(whole: StateWrite): Promise<void> {
    if (this.isFull) this.#retryAtMs = this.#nowMs() + snapshotRetryMs;
    else {
      this.#retryAtMs = undefined;
      this.#keep({ ...whole.commit, resources: new Map(whole.puts) });
    }
    return Promise.resolve();
  }

  /** The agent starts anew: it writes again. */
  reopened(): void {
    this.#retryAtMs = undefined;
  }

  powerFailed(random: Random): void {
    this.#forgetOld();
    this.#versions.length = random.integer(1, this.#versions.length);
  }

  lost(): void {
    this.#versions = [{ atMs: this.#nowMs(), state: undefined }];
  }

  get #state(): Written | undefined {
    return this.#versions.at(-1)?.state;
  }

  #keep(state: Written): void {
    this.#forgetOld();
    this.#versions.push({ atMs: this.#nowMs(), state });
  }

  // What another one has replaced for so long is on the disk.
  #forgetOld(): void {
    while ((this.#versions[1]?.atMs ?? Infinity) < this.#nowMs() - syncIntervalMs) this.#versions.shift();
  }
}
