/**
 * What is held of one kind, and what differs after an event or after a complete collection. Pure.
 *
 * - A refused object stays as it was last, as long as it exists.
 * - Records are compared by content: an event that changes nothing that is served is no change.
 */
import type { Projection } from "../projection.ts";
import { isSameRecord } from "../same-record.ts";
import type { RecordChange, RecordKind, SourceRecord } from "../source.ts";

/** An object of a list or an event, projected. */
export interface ListedObject {
  /** "namespace/name", or "name"; "" if it does not say. */
  readonly name: string;
  readonly projection: Projection;
}

export interface Difference {
  readonly changes: readonly RecordChange[];
  /** Refusals as they are printed, each once. */
  readonly refused: readonly string[];
  readonly noLongerRefused: readonly string[];
}

export class HeldObjects {
  readonly #kind: RecordKind;
  readonly #records = new Map<string, SourceRecord>();
  /** By name; printed. */
  readonly #refusals = new Map<string, readonly string[]>();

  constructor(kind: RecordKind) {
    this.#kind = kind;
  }

  /** Records held. */
  get size(): number {
    return this.#records.size;
  }

  records(): Iterable<SourceRecord> {
    return this.#records.values();
  }

  /** Takes in an object that was added or changed. */
  put({ name, projection }: ListedObject): Difference {
    const change = this.#settle(name, projection);
    return { changes: change === undefined ? [] : [change], ...this.#refuse(name, refusalsOf(projection)) };
  }

  remove(name: string): Difference {
    const change = this.#forget(name);
    return { changes: change === undefined ? [] : [change], ...this.#refuse(name, []) };
  }

  /** Takes in all objects there are. What is held and not among them is removed. */
  replace(collected: ReadonlyMap<string, Projection>): Difference {
    const changes: RecordChange[] = [];
    const refused: string[] = [];
    const noLongerRefused: string[] = [];
    const take = (change: RecordChange | undefined, said: Said): void => {
      if (change !== undefined) changes.push(change);
      refused.push(...said.refused);
      noLongerRefused.push(...said.noLongerRefused);
    };
    for (const [name, projection] of collected)
      take(this.#settle(name, projection), this.#refuse(name, refusalsOf(projection)));
    for (const name of [...this.#records.keys(), ...this.#refusals.keys()])
      if (!collected.has(name)) take(this.#forget(name), this.#refuse(name, []));
    return { changes, refused, noLongerRefused };
  }

  #settle(name: string, projection: Projection): RecordChange | undefined {
    if (projection.outcome === "refused") return undefined;
    if (projection.outcome !== "record") return this.#forget(name);
    const current = this.#records.get(name);
    if (current !== undefined && isSameRecord(current, projection.record)) return undefined;
    this.#records.set(name, projection.record);
    return { op: "put", record: projection.record };
  }

  #forget(name: string): RecordChange | undefined {
    return this.#records.delete(name) ? { op: "remove", kind: this.#kind, name } : undefined;
  }

  #refuse(name: string, next: readonly string[]): Said {
    const previous = this.#refusals.get(name) ?? [];
    if (previous.length === 0 && next.length === 0) return nothingSaid;
    if (next.length > 0) this.#refusals.set(name, next);
    else this.#refusals.delete(name);
    return {
      refused: next.filter((text) => !previous.includes(text)),
      noLongerRefused: previous.filter((text) => !next.includes(text)),
    };
  }
}

interface Said {
  readonly refused: readonly string[];
  readonly noLongerRefused: readonly string[];
}

const nothingSaid: Said = { refused: [], noLongerRefused: [] };

/** `Service ns1/bad: spec.ports[0].port: …`, as manifests say it behind their file (S28). */
function refusalsOf(projection: Projection): readonly string[] {
  if (projection.outcome !== "record" && projection.outcome !== "refused") return [];
  const printed = projection.refusals.map(({ object, field, message }) => `${object}: ${field}: ${message}`);
  return [...new Set(printed)];
}
