/** The lines of `apply`. Pure. */
import { atLeast, atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import type { ClusterShape } from "../cluster.ts";
import { median, quantile, tail } from "../quantiles.ts";
import { printShape } from "./print-shape.ts";
import type { AppliedChange } from "./weft-cluster.ts";

export interface Applied {
  readonly shape: ClusterShape;
  readonly changes: readonly AppliedChange[];
}

export interface RulesApplied {
  /** "nft 1.0.6" */
  readonly program: string;
  /** What it was given: "one `nft -f -`". */
  readonly call: string;
  readonly shape: ClusterShape;
  readonly ms: readonly number[];
}

/** "Not slower", with room for what two runs of the same differ by. */
const notSlowerRatio = 1.1;

export function applyRows(large: Applied, small: Applied, rules: readonly RulesApplied[]): readonly Row[] {
  const activeMs = millisecondsOf(large);
  const p50 = median(activeMs);
  const p99 = quantile(activeMs, 0.99);
  const p50Small = median(millisecondsOf(small));
  const acksMs = large.changes.map(({ commitToAckUs }) => commitToAckUs / 1_000);
  const bytes = large.changes.map(({ deltaBytes }) => deltaBytes);
  const cluster = printShape(large.shape);
  return [
    {
      what: `received to active, p50, ${cluster}`,
      measured: { value: p50, unit: "ms", spread: tail(activeMs) },
      goal: atMost(p50, 1, "ms"),
    },
    {
      what: `received to active, p99, ${cluster}`,
      measured: { value: p99, unit: "ms" },
      goal: atMost(p99, 5, "ms"),
    },
    {
      what: "its p50, beside that in a small cluster",
      measured: { value: p50, unit: "ms" },
      peer: { name: printShape(small.shape), value: p50Small },
      goal: { text: `not slower (<= ${notSlowerRatio}x)`, isMet: p50 <= notSlowerRatio * p50Small },
    },
    {
      what: "commit to ack, p50, as the control plane sees it",
      measured: { value: median(acksMs), unit: "ms", spread: tail(acksMs) },
    },
    { what: "delta to the node, p50", measured: { value: median(bytes), unit: "bytes" } },
    ...rules.map((applied) => rulesRow(applied, p50)),
  ];
}

function rulesRow({ program, call, shape, ms }: RulesApplied, weftMs: number): Row {
  const p50 = median(ms);
  return {
    what: `times faster than ${call}, ${printShape(shape)}`,
    measured: { value: weftMs, unit: "ms" },
    peer: { name: program, value: p50 },
    ratio: p50 / weftMs,
    goal: atLeast(p50 / weftMs, 50, "x"),
  };
}

function millisecondsOf({ changes }: Applied): number[] {
  return changes.map(({ receivedToActiveUs }) => receivedToActiveUs / 1_000);
}
