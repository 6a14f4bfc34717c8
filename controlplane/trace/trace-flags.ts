/** Which traces a control plane makes. */
import { amount, single } from "@weft/proto/program/flags.ts";
import type { Parsed } from "@weft/proto/program/flags.ts";
import { tracingFlags } from "@weft/proto/telemetry/tracing-flags.ts";

export const traceFlags = {
  ...tracingFlags,
  traceRatio: single({
    value: "P%",
    default: 0.01,
    parse: parseRatio,
    print: (ratio: number) => `${ratio * 100}%`,
    help: "Share of the revisions that are traced, such as 5% or 0.1%. Agents follow.",
  }),
  traceNodes: amount({
    minCount: 1,
    minPercent: 1,
    default: { kind: "count", count: 100 },
    help: "About how many nodes export their part of a traced revision, chosen by its trace id.",
  }),
} as const;

function parseRatio(given: string): Parsed<number> {
  const percent = /^\d{1,3}(?:\.\d{1,4})?%$/.test(given) ? Number(given.slice(0, -1)) : Number.NaN;
  if (percent >= 0 && percent <= 100) return { ok: true, value: percent / 100 };
  return { ok: false, problem: "give a share from 0% to 100%, such as 5% or 0.1%" };
}
