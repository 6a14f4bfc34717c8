/** What the control plane of a stage holds, by the kernel and by its own metrics. */
import type { BenchControlPlane } from "../fan-out/control-plane.ts";
import { processUsage } from "../process-usage.ts";

export interface ControlPlaneMemory {
  readonly residentMb: number;
  /** Of JavaScript objects. */
  readonly heapMb: number;
  /** Of buffers and other things that objects stand for. */
  readonly externalMb: number;
  /** Of the encoded resources; small ones are on the heap. */
  readonly catalogMb: number;
}

/** Asks the kernel first: answering for the metrics takes memory, too. */
export async function memoryOf(controlPlane: BenchControlPlane): Promise<ControlPlaneMemory> {
  const { residentMb } = processUsage(controlPlane.pid);
  const metrics = await controlPlane.metrics();
  const megabytes = (name: string): number => {
    const bytes = metrics[name];
    if (bytes === undefined) throw new Error(`no metric ${name}`);
    return bytes / 2 ** 20;
  };
  return {
    residentMb,
    heapMb: megabytes("nodejs_heap_size_used_bytes"),
    externalMb: megabytes("nodejs_external_memory_bytes"),
    catalogMb: megabytes("weft_catalog_bytes"),
  };
}
