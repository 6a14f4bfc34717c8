/** What one changed endpoint of a large slice costs on the wire: to a node, and to a watch of the API. */
import { setTimeout as delay } from "node:timers/promises";
import { lastReplaced, shapeOf, sliceName } from "./api-objects.ts";
import type { Stage } from "./stage.ts";

export interface EventBytes {
  readonly endpoints: number;
  /** Of Weft to each node, without framing. */
  readonly delta: number;
  /** Of the API to each watch (protobuf). */
  readonly event: number;
}

const endpoints = 100;
const changes = 10;
const commitWaitMs = 10_000;
const pollMs = 20;

/** `service`: a free number. The control plane runs. */
export async function measureBytes(stage: Stage, service: number, signal: AbortSignal): Promise<EventBytes> {
  const { writer } = stage;
  await writer.createServices(service, service, endpoints);
  const shape = shapeOf(service + 1, endpoints);
  const name = sliceName(service);
  let generation = 0;
  // Not counted: by its commit the service itself is there.
  await change();
  const watch = await writer.watchBytes(name, changes);
  const before = await deltas();
  for (let i = 0; i < changes; i++) await change();
  const after = await deltas();
  const delta = (after.bytes - before.bytes) / (after.commits - before.commits);
  return { endpoints, delta, event: (await watch.bytes()) / changes };

  // One commit each: the next change waits for it.
  async function change(): Promise<void> {
    const { commits } = await deltas();
    await writer.patch(name, lastReplaced(shape, service, ++generation));
    const limit = performance.now() + commitWaitMs;
    while ((await deltas()).commits === commits) {
      if (performance.now() > limit) throw new Error(`no commit ${commitWaitMs} ms after a change`);
      await delay(pollMs, undefined, { signal });
    }
  }

  async function deltas(): Promise<{ readonly bytes: number; readonly commits: number }> {
    const text = await writer.get(`http://${stage.lab.controlplane.http}/metrics`);
    const value = (suffix: string): number =>
      Number(new RegExp(`^weft_fanout_delta_bytes_${suffix} (\\S+)$`, "m").exec(text)?.[1]);
    return { bytes: value("sum"), commits: value("count") };
  }
}
