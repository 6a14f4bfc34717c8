/**
 * A doubly linked list threaded through its elements, ordered by the revision that last touched each: the tail is the newest.
 * Moving an element to the tail is O(1) and allocates nothing, which is why the links live in the elements.
 */
import type { Revision } from "@weft/proto/cursor.ts";

export interface Linked<T> {
  revision: Revision;
  previous: T | undefined;
  next: T | undefined;
}

export class RevisionList<T extends Linked<T>> {
  #oldest: T | undefined;
  #newest: T | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get oldest(): T | undefined {
    return this.#oldest;
  }

  /** `element` must be in no list, and no element may be newer. */
  append(element: T): void {
    element.previous = this.#newest;
    element.next = undefined;
    if (this.#newest === undefined) this.#oldest = element;
    else this.#newest.next = element;
    this.#newest = element;
    this.#length++;
  }

  /** `element` must be in this list. */
  remove(element: T): void {
    if (element.previous === undefined) this.#oldest = element.next;
    else element.previous.next = element.next;
    if (element.next === undefined) this.#newest = element.previous;
    else element.next.previous = element.previous;
    element.previous = undefined;
    element.next = undefined;
    this.#length--;
  }

  /** Elements touched after `revision`, newest first. */
  *since(revision: Revision): Generator<T> {
    for (let at = this.#newest; at !== undefined && at.revision > revision; at = at.previous) yield at;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#oldest; at !== undefined; at = at.next) yield at;
  }
}
