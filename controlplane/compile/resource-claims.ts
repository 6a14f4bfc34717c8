/**
 * Which resource holds which id, and what changed since it was asked last. Two names with one id: the smaller wins and the
 * other is refused, naming both (DESIGN 2). Services come before names and backends, so that what a backend refers to never
 * depends on a backend.
 */
import { compareText } from "@weft/proto/address.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { CompiledChanges, CompiledResource } from "../catalog/resource.ts";
import type { ObjectRefusal } from "../source/projection.ts";

const precedence = { service: 0, name: 1, backend: 2 } as const;

export class ResourceClaims {
  readonly #winners = new Map<ResourceId, CompiledResource>();
  /** Behind the winner, in order; empty unless ids collide. */
  readonly #losers = new Map<ResourceId, readonly CompiledResource[]>();
  /** Ids that were touched since the last take, and what held them then. */
  readonly #before = new Map<ResourceId, CompiledResource | undefined>();

  /** Adds a resource or replaces the one of its kind and name. Returns another one whose standing changed by that. */
  put(resource: CompiledResource): CompiledResource | undefined {
    const { id } = resource;
    const winner = this.#winners.get(id);
    this.#touch(id, winner);
    if (winner === undefined || isSameName(winner, resource)) {
      this.#winners.set(id, resource);
      return undefined;
    }
    const others = (this.#losers.get(id) ?? []).filter((other) => !isSameName(other, resource));
    const [first, ...rest] = [winner, resource, ...others].toSorted(compareClaims);
    this.#losers.set(id, rest);
    if (first === undefined || first === winner) return undefined;
    this.#winners.set(id, first);
    return winner;
  }

  /** Returns the resource that now holds the id in its place. */
  remove(resource: CompiledResource): CompiledResource | undefined {
    const { id } = resource;
    const winner = this.#winners.get(id);
    this.#touch(id, winner);
    const losers = this.#losers.get(id) ?? [];
    if (winner === undefined || !isSameName(winner, resource)) {
      this.#setLosers(
        id,
        losers.filter((other) => !isSameName(other, resource)),
      );
      return undefined;
    }
    const [next, ...rest] = losers;
    this.#setLosers(id, rest);
    if (next === undefined) this.#winners.delete(id);
    else this.#winners.set(id, next);
    return next;
  }

  holds(resource: CompiledResource): boolean {
    return this.#winners.get(resource.id) === resource;
  }

  /** What is different from the last take, by bytes. */
  take(): CompiledChanges {
    const puts: CompiledResource[] = [];
    const removals: ResourceId[] = [];
    for (const [id, before] of this.#before) {
      const now = this.#winners.get(id);
      if (now === undefined) {
        if (before !== undefined) removals.push(id);
      } else if (before?.body !== now.body) {
        puts.push(now);
      }
    }
    this.#before.clear();
    return { puts, removals };
  }

  /** All that are refused now. */
  refusals(): readonly ObjectRefusal[] {
    return [...this.#losers].flatMap(([id, losers]) => {
      const winner = this.#winners.get(id);
      return losers.map((loser) => ({
        object: describeResource(loser),
        field: "metadata.name",
        message: `has the same 64-bit id as ${winner === undefined ? "another" : describeResource(winner)}, which counts; rename one of them`,
      }));
    });
  }

  #touch(id: ResourceId, winner: CompiledResource | undefined): void {
    if (!this.#before.has(id)) this.#before.set(id, winner);
  }

  #setLosers(id: ResourceId, losers: readonly CompiledResource[]): void {
    if (losers.length > 0) this.#losers.set(id, losers);
    else this.#losers.delete(id);
  }
}

function isSameName(a: CompiledResource, b: CompiledResource): boolean {
  return a === b || (a.kind === b.kind && a.name === b.name);
}

function compareClaims(a: CompiledResource, b: CompiledResource): number {
  return precedence[a.kind] - precedence[b.kind] || compareText(a.name, b.name);
}

function describeResource(of: CompiledResource): string {
  const kind = { service: "Service", backend: "Backend", name: "Name" }[of.kind];
  return `${kind} ${of.name.replaceAll("\0", " ")}`;
}
