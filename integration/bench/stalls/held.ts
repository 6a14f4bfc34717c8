/** What a control plane holds, and the kernel for it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Stage } from "../fleet/stage.ts";
import { processUsage } from "../process-usage.ts";
import { socketMemory } from "../socket-memory.ts";

export interface Held {
  /** Objects and buffers. */
  readonly heldBytes: number;
  readonly residentBytes: number;
  /** Of its sockets. */
  readonly serverBytes: number;
  /** Of the agents', which here are on the same machine. */
  readonly clientBytes: number;
}

/** For the callbacks of the last writes, and the log. */
const calmMs = 500;

/** Without garbage. */
export async function heldBy({ controlPlane }: Pick<Stage, "controlPlane">): Promise<Held> {
  await sleep(calmMs);
  const { objectsBytes, externalBytes } = await controlPlane.heap();
  const { residentMb } = processUsage(controlPlane.pid);
  const { serverKb, clientKb } = socketMemory(controlPlane.port);
  return {
    heldBytes: objectsBytes + externalBytes,
    residentBytes: residentMb * 2 ** 20,
    serverBytes: serverKb * 1_024,
    clientBytes: clientKb * 1_024,
  };
}
