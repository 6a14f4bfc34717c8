/**
 * Gives memory back after a burst. V8 keeps what a burst of garbage needed, for good (measured after a snapshot of 250,000 backends in an
 * agent: 410 MB resident for 110 MB in use, unchanged after minutes); one full collection returns it, in 100 to 300 ms. The flag
 * `--optimize-for-size` does the same without a pause, but doubles the time of the burst itself.
 */
import { flushCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: {
  readonly type: "major";
  readonly execution: "sync";
  readonly flavor: "last-resort";
}) => void;

let collect: Collect | undefined;

/** Blocks the process while it runs. */
export function compactHeap(): void {
  if (collect === undefined) {
    // Code that is kept after a change of flags is refused at the next start.
    flushCompileCache();
    setFlagsFromString("--expose-gc");
    const found: unknown = runInNewContext("gc");
    collect = typeof found === "function" ? (found as Collect) : () => undefined;
  }
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
