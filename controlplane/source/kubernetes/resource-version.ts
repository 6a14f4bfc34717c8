/** resourceVersions: opaque, but comparable where both are whole numbers (KEP-5504; true of every API server on etcd). */

/** Undefined: they cannot be compared. */
export function compareVersions(a: string, b: string): number | undefined {
  if (!isNumeric(a) || !isNumeric(b)) return undefined;
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function isNumeric(version: string): boolean {
  return /^[1-9]\d{0,39}$/.test(version);
}
