/** What happens while some agents do not read. */
import { setTimeout as sleep } from "node:timers/promises";
import { bursts } from "../fleet/bursts.ts";
import type { Stage } from "../fleet/stage.ts";

export interface StallChanges {
  /** For people. */
  readonly what: string;
  /** Resolves when all that read have it. */
  readonly make: (stalled: number) => Promise<void>;
}

const small = { count: 20, calmMs: 50 };
const largeCount = 5;

/** Fit into sockets. */
export function smallChanges({ api, load, services }: Stage): StallChanges {
  let next = 0;
  const make = async (): Promise<void> => {
    for (let i = 0; i < small.count; i++) {
      const reached = load.reached();
      await api.change(next++ % services);
      await reached;
      await sleep(small.calmMs);
    }
  };
  return { what: `${small.count} changes of 100 bytes`, make };
}

/** More than the sockets take. */
export function largeChanges(stage: Stage): StallChanges {
  const make = async (stalled: number): Promise<void> => {
    await bursts(stage, largeCount, stalled);
  };
  return { what: `${largeCount} changes of 110 KB`, make };
}
