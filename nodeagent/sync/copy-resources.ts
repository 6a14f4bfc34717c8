/** A copy of everything held, to be written while rounds go on. Pure. */
import type { ResourceId } from "@weft/proto/ids.ts";
import type { HeldResource } from "./received-resource.ts";

/** Taken at once, read once. Two arrays are a quarter of the memory of a list of pairs. */
export function copyResources(
  resources: ReadonlyMap<ResourceId, HeldResource>,
): Iterable<readonly [ResourceId, HeldResource]> {
  return pairsOf([...resources.keys()], [...resources.values()]);
}

function* pairsOf(
  ids: readonly ResourceId[],
  held: readonly HeldResource[],
): Generator<readonly [ResourceId, HeldResource], undefined> {
  for (const [i, id] of ids.entries()) {
    const resource = held[i];
    if (resource !== undefined) yield [id, resource];
  }
}
