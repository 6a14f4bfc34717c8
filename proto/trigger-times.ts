/**
 * When changes of EndpointSlices were triggered, for kubeproxy_network_programming_duration_seconds: the annotation
 * endpoints.kubernetes.io/last-change-trigger-time. They travel beside the operations of a delta and are part of no resource.
 */

/** Unix milliseconds, by address family of the slice. */
export interface TriggerTimes {
  readonly ipv4: readonly number[];
  readonly ipv6: readonly number[];
}

export const noTriggers: TriggerTimes = { ipv4: [], ipv6: [] };

/** Most of one family that one delta carries; a change of more services at once is described by a part of it. */
export const triggerTimesMax = 256;

export function hasTriggers(of: TriggerTimes): boolean {
  return of.ipv4.length > 0 || of.ipv6.length > 0;
}

/** Both; of more than the limit the ones that wait longest, so that a sum never looks better than it is. */
export function mergeTriggers(a: TriggerTimes, b: TriggerTimes): TriggerTimes {
  if (!hasTriggers(b)) return a;
  return hasTriggers(a) ? { ipv4: merge(a.ipv4, b.ipv4), ipv6: merge(a.ipv6, b.ipv6) } : limitTriggers(b);
}

export function limitTriggers(of: TriggerTimes): TriggerTimes {
  return { ipv4: merge([], of.ipv4), ipv6: merge([], of.ipv6) };
}

function merge(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length + b.length <= triggerTimesMax) return a.length === 0 ? b : [...a, ...b];
  return [...a, ...b].toSorted((x, y) => x - y).slice(0, triggerTimesMax);
}
