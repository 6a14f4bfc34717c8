/** What is said about objects that a source refuses. */
import type { Log } from "@weft/proto/program/log.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";

/** Refusals of one call that are printed; the metric counts all. */
const refusalsPrintedMax = 100;

/** Prints and counts refusals, in words: each once when it appears and once when it is gone. */
export function refusalReporter(
  log: Log,
  metrics: Metrics,
): (added: readonly string[], cleared: readonly string[]) => void {
  let standing = 0;
  const total = metrics.counter({
    name: "weft_source_refusals_total",
    help: "Manifests, objects and endpoints that were refused.",
  });
  metrics.observed(
    "gauge",
    { name: "weft_source_refused", help: "Manifests, objects and endpoints that are refused now." },
    () => standing,
  );
  return (added, cleared) => {
    standing += added.length - cleared.length;
    total.inc(added.length);
    for (const refusal of added.slice(0, refusalsPrintedMax)) log.warn(`refused: ${refusal}`);
    if (added.length > refusalsPrintedMax) log.warn(`refused: ${added.length - refusalsPrintedMax} more`);
    for (const refusal of cleared.slice(0, refusalsPrintedMax)) log.info(`no longer refused: ${refusal}`);
  };
}
