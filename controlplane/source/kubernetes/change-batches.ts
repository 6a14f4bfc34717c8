/**
 * Folds the changes that were read in one turn of the event loop, of all kinds, into one batch: what the API server sent
 * together is one commit. What a relist found goes out on its own, behind what came before it.
 */
import type { RecordChange, RecordKind, SourceSink } from "../source.ts";

export class ChangeBatches {
  readonly #sink: SourceSink;
  #pending: RecordChange[] = [];
  #noticedAtMs = 0;

  constructor(sink: SourceSink) {
    this.#sink = sink;
  }

  add(changes: readonly RecordChange[], noticedAtMs: number): void {
    if (changes.length === 0) return;
    if (this.#pending.length === 0) {
      this.#noticedAtMs = noticedAtMs;
      setImmediate(() => this.flush());
    }
    this.#pending.push(...changes);
  }

  relisted(kind: RecordKind, changes: readonly RecordChange[], noticedAtMs: number): void {
    this.flush();
    this.#sink.changes({ changes, isRelist: true, kinds: [kind], noticedAtMs });
  }

  flush(): void {
    if (this.#pending.length === 0) return;
    const changes = this.#pending;
    this.#pending = [];
    this.#sink.changes({ changes, isRelist: false, noticedAtMs: this.#noticedAtMs });
  }
}
