/** Unix milliseconds by a clock that never jumps within a process, unlike `Date.now`: for time limits, and for times that are compared. */
export function unixMs(): number {
  return performance.timeOrigin + performance.now();
}
