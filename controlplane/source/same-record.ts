import { isSameValue } from "./manifests/same-value.ts";
import type { SourceRecord } from "./source.ts";

/** True if both say the same of what is served. When a slice last changed is no part of that: an annotation alone costs nothing. */
export function isSameRecord(a: SourceRecord, b: SourceRecord): boolean {
  if (a.kind !== "EndpointSlice" || b.kind !== "EndpointSlice") return isSameValue(a, b);
  return isSameValue({ ...a, trigger: undefined }, { ...b, trigger: undefined });
}
