/** A control plane that sends deltas and heartbeats to one agent, and faults of the agent's store, for tests of the audit. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Digest } from "@weft/proto/digest.ts";
import { hash64 } from "@weft/proto/hash.ts";
import type { EncodedResource } from "../sync/described-resources.ts";
import { readPart } from "../sync/received-resource.ts";
import type { Store } from "../sync/store.ts";
import type { FakeStream, Response } from "./fake-control-plane.ts";

export function digestOf(resources: readonly EncodedResource[]): bigint {
  const digest = new Digest();
  for (const { id, bytes } of resources) digest.add(id, hash64(bytes));
  return digest.root;
}

/** As a fault would: nobody is told. */
export function lose(store: Store, ...lost: readonly EncodedResource[]): void {
  store.commit([{ removed: lost.map(({ id }) => id), puts: new Map() }], "nothing");
}

export function keep(store: Store, ...kept: readonly EncodedResource[]): void {
  const reading = readPart({ removed: [], resources: kept.map(({ bytes }) => bytes) });
  assert.ok(reading.kind === "part");
  store.commit([reading.part], "nothing");
}

/** A control plane at the other end of one stream. */
export class Plane {
  readonly #stream: FakeStream;
  #sequence = 0n;
  constructor(stream: FakeStream) {
    this.#stream = stream;
  }

  async sends(response: Response, to: number): Promise<void> {
    this.#stream.send(response);
    await this.#stream.ack((ack) => ack.revision === BigInt(to));
  }

  /** One heartbeat of a head with these resources. The digest that the agent answers. */
  async beats(to: number, held: readonly EncodedResource[]): Promise<bigint> {
    const sequence = ++this.#sequence;
    this.#stream.send({ heartbeat: { sequence, revision: BigInt(to), digest: digestOf(held), synced: true } });
    return (await this.#stream.ack(({ heartbeat }) => heartbeat === sequence)).digest;
  }

  /** Heartbeats, until it is so. */
  async beatsUntil(to: number, held: readonly EncodedResource[], isSo: () => boolean): Promise<void> {
    const untilMs = performance.now() + 30_000;
    while (!isSo()) {
      assert.ok(performance.now() < untilMs, "not so within 30 s");
      await this.beats(to, held);
      await sleep(2);
    }
  }
}
