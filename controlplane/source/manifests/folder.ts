/**
 * The pure core of the manifests source: what was read from files -> which records stand, and what changed.
 *
 * - A file that does not parse keeps all objects last read from it, until it parses or is gone (S27).
 * - Of several documents for one object the first counts: by the bytes of the relative path, in a file by position (S29).
 * - While the document that counts is refused, the object stays as it last was (issue: the last good version stays).
 */
import type { Projection } from "../projection.ts";
import type { RecordChange, RecordKind, SourceRecord } from "../source.ts";
import { isSameRecord } from "../same-record.ts";
import type { FileObjects, FoundObject } from "./read-objects.ts";
import { printRefusal } from "./refusal.ts";
import type { ManifestRefusal, RefusalChange } from "./refusal.ts";

/** What is known of one file after a look at it. */
export type FileReading =
  | ({ readonly kind: "read" } & FileObjects)
  /** It cannot be read or parsed. */
  | { readonly kind: "unreadable"; readonly refusal: ManifestRefusal }
  | { readonly kind: "gone" };

export interface FolderChange {
  readonly changes: readonly RecordChange[];
  readonly refusals: RefusalChange;
}

interface Candidate {
  readonly file: string;
  readonly position: number;
  readonly object: FoundObject;
}

export class Folder {
  readonly #objects = new Map<string, readonly FoundObject[]>();
  /** By identity, the one that counts first. */
  readonly #candidates = new Map<string, Candidate[]>();
  readonly #records = new Map<string, SourceRecord>();
  /** By what they belong to: a file, or an object that is there twice. */
  readonly #refusals = new Map<string, readonly ManifestRefusal[]>();
  #nodesCount = 0;

  /** True while a Node is among the records. */
  get hasNodes(): boolean {
    return this.#nodesCount > 0;
  }

  records(): readonly SourceRecord[] {
    return [...this.#records.values()];
  }

  refusals(): readonly ManifestRefusal[] {
    return [...this.#refusals.values()].flat();
  }

  /** The last look at this file found nothing that can be read. */
  isUnreadable(file: string): boolean {
    return this.#refusals.get(`file ${file}`)?.[0]?.kind === "file";
  }

  /** Objects and endpoints last read from a file. */
  sizeOf(file: string): number {
    return sizeOfObjects(this.#objects.get(file) ?? []);
  }

  /** Takes in what was found by one scan. Files that are not mentioned are as they were. */
  update(readings: ReadonlyMap<string, FileReading>): FolderChange {
    const touched = new Set<string>();
    const added: ManifestRefusal[] = [];
    const cleared: ManifestRefusal[] = [];
    const refuse = (owner: string, refusals: readonly ManifestRefusal[]): void => {
      this.#setRefusals(owner, refusals, added, cleared);
    };
    for (const [file, reading] of readings) {
      if (reading.kind === "unreadable") {
        refuse(`file ${file}`, [reading.refusal]);
        continue;
      }
      refuse(`file ${file}`, reading.kind === "read" ? reading.refusals : []);
      this.#replaceObjects(file, reading.kind === "read" ? reading.objects : [], touched);
    }
    const changes: RecordChange[] = [];
    for (const key of touched) {
      const candidates = this.#candidates.get(key) ?? [];
      refuse(`object ${key}`, repeats(candidates));
      const change = this.#settle(key, candidates[0]?.object);
      if (change !== undefined) changes.push(change);
    }
    return { changes, refusals: { added, cleared } };
  }

  #replaceObjects(file: string, objects: readonly FoundObject[], touched: Set<string>): void {
    for (const object of this.#objects.get(file) ?? []) {
      const key = keyOf(object);
      const left = (this.#candidates.get(key) ?? []).filter((candidate) => candidate.file !== file);
      if (left.length > 0) this.#candidates.set(key, left);
      else this.#candidates.delete(key);
      touched.add(key);
    }
    const affected = new Set<Candidate[]>();
    for (const [position, object] of objects.entries()) {
      const key = keyOf(object);
      const candidates = this.#candidates.get(key) ?? [];
      candidates.push({ file, position, object });
      if (candidates.length > 1) affected.add(candidates);
      this.#candidates.set(key, candidates);
      touched.add(key);
    }
    for (const candidates of affected) candidates.sort(compareCandidates);
    if (objects.length > 0) this.#objects.set(file, objects);
    else this.#objects.delete(file);
  }

  // `object` is the one that counts; undefined: no document of this identity is left.
  #settle(key: string, object: FoundObject | undefined): RecordChange | undefined {
    const current = this.#records.get(key);
    const outcome: Projection["outcome"] | "gone" = object?.outcome ?? "gone";
    if (outcome === "refused") return undefined;
    const next = object?.record;
    if (next === undefined) {
      if (current === undefined) return undefined;
      this.#records.delete(key);
      this.#countNodes(current.kind, -1);
      return { op: "remove", kind: current.kind, name: current.name };
    }
    if (current !== undefined && isSameRecord(current, next)) return undefined;
    if (current === undefined) this.#countNodes(next.kind, 1);
    this.#records.set(key, next);
    return { op: "put", record: next };
  }

  #countNodes(kind: RecordKind, by: number): void {
    if (kind === "Node") this.#nodesCount += by;
  }

  #setRefusals(
    owner: string,
    next: readonly ManifestRefusal[],
    added: ManifestRefusal[],
    cleared: ManifestRefusal[],
  ): void {
    const previous = this.#refusals.get(owner) ?? [];
    if (previous.length === 0 && next.length === 0) return;
    const before = new Set(previous.map(printRefusal));
    const after = new Set(next.map(printRefusal));
    added.push(...next.filter((refusal) => !before.has(printRefusal(refusal))));
    cleared.push(...previous.filter((refusal) => !after.has(printRefusal(refusal))));
    if (next.length > 0) this.#refusals.set(owner, next);
    else this.#refusals.delete(owner);
  }
}

/** Objects, and endpoints of slices, of one file: less of them is how a half-written file looks. */
export function sizeOfObjects(objects: readonly FoundObject[]): number {
  let size = objects.length;
  for (const { record } of objects) if (record?.kind === "EndpointSlice") size += record.endpoints.length;
  return size;
}

function keyOf(object: FoundObject): string {
  return `${object.identity.kind} ${object.identity.name}`;
}

function repeats(candidates: readonly Candidate[]): readonly ManifestRefusal[] {
  const first = candidates[0];
  return candidates.slice(1).flatMap((candidate): ManifestRefusal[] => {
    if (first === undefined) return [];
    return [
      {
        kind: "object",
        file: candidate.file,
        line: undefined,
        object: keyOf(candidate.object),
        field: "metadata.name",
        message: `${candidate.object.place} repeats ${first.file}, ${first.object.place}, which counts`,
      },
    ];
  });
}

function compareCandidates(a: Candidate, b: Candidate): number {
  return compareUtf8(a.file, b.file) || a.position - b.position;
}

/** Order of the UTF-8 bytes, which is the order of code points (UTF-16 code units sort U+E000..U+FFFF behind the rest). */
export function compareUtf8(a: string, b: string): number {
  const left = a[Symbol.iterator]();
  const right = b[Symbol.iterator]();
  for (;;) {
    const x = left.next();
    const y = right.next();
    if (x.done === true || y.done === true) return (x.done === true ? 0 : 1) - (y.done === true ? 0 : 1);
    const difference = (x.value.codePointAt(0) ?? 0) - (y.value.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
}
