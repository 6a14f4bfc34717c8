/** All agents lose their connections at once, and come back to a server on which nothing has changed. */
import type { LoadClient } from "../fan-out/load-client.ts";
import type { Up } from "../fan-out/load-client.ts";
import { extremes, median } from "../quantiles.ts";
import type { Measured } from "../bench.ts";

/** Of one storm. */
export interface Return {
  readonly elapsedMs: number;
  /** To each, and from each. */
  readonly bytesEach: number;
  readonly sentBytesEach: number;
  /** Connections whose TLS session was resumed. */
  readonly resumed: number;
}

/** @param emptied resolves when the server has seen all connections end. */
export async function returned(
  load: LoadClient,
  agents: number,
  emptied: () => Promise<void>,
  come: () => Promise<Up> = () => load.connect(),
): Promise<Return> {
  await load.close();
  await emptied();
  const before = await load.counts();
  const up = await come();
  return {
    elapsedMs: up.elapsedUs / 1_000,
    bytesEach: (up.dataBytes - before.dataBytes) / agents,
    sentBytesEach: (up.sentDataBytes - before.sentDataBytes) / agents,
    resumed: up.resumed - before.resumed,
  };
}

export function elapsedOf(returns: readonly Return[]): Measured {
  const elapsedMs = returns.map((each) => each.elapsedMs);
  return { value: median(elapsedMs), unit: "ms", spread: extremes(elapsedMs) };
}
