/**
 * Any interleaving of commits, joins, stalls, lost connections, broken deliveries and restarts of the control plane, seen from the
 * agents: what they hold is always some committed state, revisions never go back within an epoch, and when all is quiet every
 * agent holds exactly the head. After rocicorp/zero-cache's catch-up tests, which end in a sentinel commit.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { epoch, nextRevision, printCursor, revision } from "@weft/proto/cursor.ts";
import { Digest } from "@weft/proto/digest.ts";
import {
  AckSchema,
  FailureCategory,
  HelloSchema,
  NodeViewSchema,
  SyncRequestSchema,
  SyncResponseSchema,
} from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import fc from "fast-check";
import { Catalog } from "../catalog/catalog.ts";
import { madeBackend, madeName, madeService } from "../catalog/made-resources.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import { isMassRemoval } from "../mass-removal/mass-removal.ts";
import type { MassRemovalLimits } from "../mass-removal/mass-removal.ts";
import { RecordingFleet } from "../recording-fleet.ts";
import { fanoutLimits } from "./fanout-limits.ts";
import { fanoutMetrics } from "./fanout-metrics.ts";
import { Fanout } from "./fanout.ts";
import { HeldResources } from "./held-resources.ts";
import type { Refusal } from "./refusal.ts";
import { cursorMessage } from "./scripted-agent.ts";
import { streamLimits } from "./stream-limits.ts";
import type { StreamInput, StreamPort } from "./stream-port.ts";

const agentsMax = 4;
const massRemoval: MassRemovalLimits = { thresholdPercent: 50, servicesMin: 2, holdMs: 60_000 };

type Action =
  | {
      readonly do: "commit";
      readonly services: readonly number[];
      readonly backends: readonly number[];
      readonly version: number;
    }
  | { readonly do: "connect" | "lose" | "deliver" | "read" | "follow"; readonly agent: number }
  | { readonly do: "restart"; readonly laterMs: number }
  /** An agent of another control plane shows up with a later epoch, and leaves. */
  | { readonly do: "stray" }
  /** Someone says that what is not listed is meant to be gone. */
  | { readonly do: "confirm" }
  /** What an agent holds goes wrong: a resource is lost, changed, or there is one that never was. */
  | {
      readonly do: "corrupt";
      readonly agent: number;
      readonly how: "lose" | "change" | "invent";
      readonly which: number;
    }
  /** A heartbeat, and all that comes of it. */
  | { readonly do: "beat" }
  | { readonly do: "pass"; readonly ms: number };

const agent = fc.integer({ min: 0, max: agentsMax - 1 });
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("commit" as const),
      services: fc.subarray([0, 1, 2]),
      backends: fc.subarray([0, 1, 2, 3]),
      version: fc.integer({ min: 0, max: 1 }),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom("connect" as const, "deliver" as const, "deliver" as const, "read" as const, "read" as const),
      agent,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: "stray" } as const) },
  { weight: 1, arbitrary: fc.constant({ do: "confirm" } as const) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("follow" as const), agent }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("lose" as const), agent }) },
  // Earlier: the clock went back, and agents hold a later epoch than the new control plane.
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("restart" as const), laterMs: fc.constantFrom(-500, 1, 1_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("corrupt" as const),
      agent,
      how: fc.constantFrom("lose" as const, "change" as const, "invent" as const),
      which: fc.nat(100),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: "beat" } as const) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(100, 11_000) }) },
);

/** In every commit: what differs is a small part of what is held, as in life. */
const ballast = Array.from({ length: 24 }, (_, i) => madeName(`name ${i}`));

/** Ends that an honest agent must never see. */
let unexpected: Refusal[] = [];

/** A connection: writes wait until they are delivered, what was delivered waits until the agent reads it. */
class Wire implements StreamPort {
  readonly peer = "192.0.2.1:1";
  readonly identity = { kind: "anonymous" } as const;
  input: StreamInput | undefined;
  outstanding: { readonly bytes: Uint8Array; readonly written: () => void } | undefined;
  readonly unread: Uint8Array[] = [];
  isCut = false;
  /** What the agent holds went wrong between two answers to digest queries: they cannot agree. */
  isTornAnswer = false;

  write(bytes: Uint8Array, written: () => void): void {
    if (this.outstanding === undefined) {
      this.outstanding = { bytes, written };
      return;
    }
    const { goaway } = fromBinary(SyncResponseSchema, bytes);
    assert.ok(goaway, "a second write was started before the first one was on its way");
  }

  end(refusal: Refusal): void {
    const isTorn = this.isTornAnswer && refusal.reason === "bad-digests";
    if (!["silent", "stalled", "replaced"].includes(refusal.reason) && !isTorn) unexpected.push(refusal);
    this.cut("closed");
  }

  reset(refusal: Refusal): void {
    this.end(refusal);
  }

  drop(): void {
    this.cut("closed");
  }

  deliver(): boolean {
    const sent = this.outstanding;
    if (sent === undefined || this.isCut) return false;
    this.outstanding = undefined;
    this.unread.push(sent.bytes);
    sent.written();
    return true;
  }

  cut(reason: string): void {
    if (this.isCut) return;
    this.isCut = true;
    queueMicrotask(() => this.input?.closed(reason));
  }
}

class Agent {
  readonly node: string;
  held = new HeldResources(massRemoval);
  refusals = 0;
  /** What it holds went wrong, and is not mended yet. */
  isCorrupt = false;
  wire: Wire | undefined;
  #welcomes = 0;
  #mismatches = 0;
  /** It told its sums; hashes may be asked for. */
  #hasTold = false;

  constructor(node: string) {
    this.node = node;
  }

  connect(world: World): void {
    if (this.wire !== undefined && !this.wire.isCut) return;
    this.held.reconnected();
    this.#welcomes = 0;
    this.#hasTold = false;
    const wire = new Wire();
    wire.input = world.fanout.open(wire);
    this.wire = wire;
    const { cursor, digest, services } = this.held;
    const value = create(HelloSchema, {
      node: this.node,
      instance: 1n,
      protocol: 1,
      digest,
      counts: { services },
      ...(cursor && { cursor: cursorMessage(cursor) }),
    });
    wire.input.receive(create(SyncRequestSchema, { message: { case: "hello", value } }));
  }

  read(world: World): boolean {
    const bytes = this.wire?.unread.shift();
    if (bytes === undefined || this.wire?.isCut === true) return false;
    const response = fromBinary(SyncResponseSchema, bytes);
    const { services, isHolding } = this.held;
    const isActive = this.held.take(response);
    if (response.delta !== undefined) this.#hasTold = false;
    if (this.held.isHolding && !isHolding) this.refusals++;
    const isBelieved = response.delta?.from !== undefined || response.delta?.massRemovalConfirmed === true;
    assert.ok(
      isBelieved || !isMassRemoval(services - this.held.services, services, massRemoval),
      `${this.node} lost ${services - this.held.services} of ${services} services`,
    );
    const cursor = this.held.cursor;
    if (isActive && cursor !== undefined) {
      const isCommitted = this.held.digest === world.digests.get(printCursor(cursor));
      assert.ok(isCommitted || this.isCorrupt, `${this.node} holds no state that was ever committed`);
      this.isCorrupt &&= !isCommitted;
    }
    assert.ok(this.isCorrupt || this.held.mismatches === this.#mismatches, `${this.node} was told another digest`);
    this.#mismatches = this.held.mismatches;
    this.#answer(response, isActive);
    return true;
  }

  corrupt(how: "lose" | "change" | "invent", which: number): void {
    const { resources } = this.held;
    this.isCorrupt = true;
    if (this.#hasTold && this.wire !== undefined) this.wire.isTornAnswer = true;
    if (how === "invent") {
      const { id, bytes } = madeService(`invented ${which}`);
      resources.set(id, bytes);
      return;
    }
    const ids = [...resources.keys()];
    const id = ids[which % Math.max(1, ids.length)];
    if (id === undefined) return;
    if (how === "lose") resources.delete(id);
    // A field that this version does not know.
    else resources.set(id, Uint8Array.from([...(resources.get(id) ?? []), 0xa0, 0x06, which]));
  }

  #answer(response: SyncResponse, isActive: boolean): void {
    if (response.welcome !== undefined) this.#welcomes++;
    const isRenamed = response.welcome !== undefined && this.#welcomes > 1;
    const isRefused = this.held.isHolding && response.delta !== undefined;
    if (response.digestQuery !== undefined) {
      this.#hasTold = true;
      for (const digests of this.held.digests(response.digestQuery, 2)) {
        this.wire?.input?.receive(create(SyncRequestSchema, { message: { case: "digests", value: digests } }));
      }
    }
    if (!isActive && !isRenamed && !isRefused && response.heartbeat === undefined) return;
    const value = create(AckSchema, {
      revision: BigInt(this.held.position),
      digest: this.held.digest,
      counts: { services: this.held.services },
      heartbeat: response.heartbeat?.sequence ?? 0n,
      failures: this.held.isHolding ? [{ category: FailureCategory.MASS_REMOVAL_HELD }] : [],
    });
    this.wire?.input?.receive(create(SyncRequestSchema, { message: { case: "ack", value } }));
  }
}

class World {
  nowMs = 1_700_000_000_000;
  catalog: Catalog;
  fleet = new RecordingFleet();
  fanout: Fanout;
  wanted: readonly CompiledResource[] = [];
  /** Root digest of every revision ever committed, under every name of its epoch. */
  readonly digests = new Map<string, bigint>();
  readonly agents = Array.from({ length: agentsMax }, (_, i) => new Agent(`n${i}`));
  isConfirmed = false;
  // Stands for the random bits of epochs.
  #starts = 0;

  constructor() {
    this.catalog = this.#begin(this.nowMs);
    this.fanout = this.#open();
  }

  restart(laterMs: number): void {
    for (const { wire } of this.agents) wire?.cut("closed");
    this.fleet = new RecordingFleet();
    this.isConfirmed = false;
    this.catalog = this.#begin(this.catalog.epoch.createdMs + laterMs);
    this.fanout = this.#open();
    this.commit(this.wanted);
  }

  commit(wanted: readonly CompiledResource[]): void {
    const stays = new Set(wanted.map(({ id }) => id));
    const removals = this.wanted.map(({ id }) => id).filter((id) => !stays.has(id));
    this.wanted = wanted;
    const drafted = this.catalog.draft({ puts: wanted, removals });
    if (drafted === undefined) return;
    this.catalog.apply(drafted);
    this.#note();
    this.fanout.broadcast();
  }

  confirm(): void {
    this.isConfirmed = true;
    this.fanout.removalConfirmed();
  }

  stray(): void {
    const wire = new Wire();
    wire.input = this.fanout.open(wire);
    const { createdMs, random } = this.catalog.epoch;
    const cursor = cursorMessage({ epoch: epoch(createdMs + 10, random + 1_000), revision: revision(5) });
    const value = create(HelloSchema, { node: "stray", instance: 1n, protocol: 1, cursor });
    wire.input.receive(create(SyncRequestSchema, { message: { case: "hello", value } }));
    wire.cut("closed");
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.fanout.tick();
  }

  /** Heartbeats, until every agent holds what it should: what went wrong is found at a heartbeat, and mended. */
  async mend(): Promise<void> {
    for (let beat = 0; beat < 40 && this.agents.some(({ held }) => held.digest !== this.catalog.root); beat++) {
      this.pass(11_000);
      await this.settle(this.agents);
    }
  }

  /** Connects these agents, delivers and reads until nothing moves. */
  async settle(agents: readonly Agent[]): Promise<void> {
    for (let quiet = 0; quiet < 8; quiet++) {
      await new Promise(setImmediate);
      for (const one of agents) {
        one.connect(this);
        while (one.wire?.deliver() === true || one.read(this)) quiet = 0;
      }
    }
  }

  #begin(createdMs: number): Catalog {
    return new Catalog(epoch(createdMs, ++this.#starts), { historyRevisionsMax: 4, historyBytesMax: 10_000 });
  }

  #note(): void {
    const digest = new Digest();
    for (const { id, hash } of this.wanted) digest.add(id, hash);
    this.digests.set(printCursor({ epoch: this.catalog.epoch, revision: this.catalog.head }), digest.root);
  }

  #open(): Fanout {
    const catalog = this.catalog;
    return new Fanout({
      catalog,
      historyKind: "memory",
      fleet: this.fleet,
      log: silentLog,
      metrics: fanoutMetrics(new Metrics()),
      version: "0",
      streamLimits,
      fanoutLimits: { ...fanoutLimits, streamsPerTurn: 2, snapshotsMax: 1 },
      transferLimits: {
        partBytesMax: 200,
        deltaPartBytesMax: 200,
        sharedDeltaRevisions: 2,
        oldDeltaPartBytesMax: 150,
        deltasBytesMax: 400,
        snapshotAgeMaxMs: 50,
        cutEntriesPerTurn: 8,
      },
      random: () => 0.5,
      now: () => this.nowMs,
      nodeView: () => create(NodeViewSchema),
      massRemoval,
      isRemovalConfirmed: () => this.isConfirmed,
      renamed: (to) => {
        const before = catalog.epoch;
        catalog.rename(to);
        // The same revisions under another name.
        for (let at = revision(1); at <= catalog.head; at = nextRevision(at)) {
          const digest = this.digests.get(printCursor({ epoch: before, revision: at }));
          if (digest !== undefined) this.digests.set(printCursor({ epoch: to, revision: at }), digest);
        }
      },
    });
  }
}

async function perform(world: World, one: Action): Promise<void> {
  switch (one.do) {
    case "commit": {
      const changing = one.services.flatMap((service) => [
        madeService(`s${service}`, one.version),
        ...one.backends.map((last) => madeBackend(`s${service}`, last, (one.version + service) % 2)),
      ]);
      world.commit([...ballast, ...changing]);
      break;
    }
    case "connect":
      world.agents[one.agent]?.connect(world);
      break;
    case "lose":
      world.agents[one.agent]?.wire?.cut("closed");
      break;
    case "deliver":
      world.agents[one.agent]?.wire?.deliver();
      break;
    case "read":
      world.agents[one.agent]?.read(world);
      break;
    case "follow":
      await world.settle(world.agents.slice(one.agent, one.agent + 1));
      break;
    case "stray":
      world.stray();
      break;
    case "confirm":
      world.confirm();
      break;
    case "restart":
      world.restart(one.laterMs);
      break;
    case "corrupt":
      world.agents[one.agent]?.corrupt(one.how, one.which);
      break;
    case "beat":
      world.pass(11_000);
      await world.settle(world.agents);
      break;
    case "pass":
      world.pass(one.ms);
  }
  // Turns for snapshots and paced visits are given over the event loop.
  await new Promise(setImmediate);
}

test("any interleaving converges to the head, and no agent ever holds or acks what was not committed", async () => {
  const seen = { snapshots: 0, repairs: 0, mismatches: 0, renamed: 0, held: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 80, size: "max" }), async (actions) => {
      unexpected = [];
      const world = new World();
      for (const one of actions) await perform(world, one);
      world.commit([...ballast, madeService("sentinel"), madeBackend("sentinel", 1)]);
      await world.settle(world.agents);
      seen.held += world.fanout.heldNodes.length;
      world.confirm();
      await world.settle(world.agents);
      await world.mend();
      const bytes = new Map(world.wanted.map((resource) => [resource.id, Buffer.from(resource.bytes).toString("hex")]));
      for (const { node, held, refusals } of world.agents) {
        assert.equal(
          printCursor(held.cursor ?? assert.fail(`${node} has no cursor`)),
          printCursor({ epoch: world.catalog.epoch, revision: world.catalog.head }),
        );
        assert.deepEqual(
          new Map([...held.resources].map(([id, one]) => [id, Buffer.from(one).toString("hex")])),
          bytes,
        );
        assert.equal(world.fleet.nodes.get(node)?.applied, world.catalog.head);
        seen.snapshots += held.snapshots;
        seen.repairs += held.repairs;
        seen.mismatches += held.mismatches;
        seen.refused += refusals;
      }
      seen.renamed += world.fleet.epochs.length;
      assert.deepEqual(unexpected, []);
      assert.deepEqual(world.fanout.sizes, {
        streams: agentsMax,
        agents: agentsMax,
        snapshots: { inFlight: 0, stuck: 0, waiting: 0 },
      });
      assert.deepEqual(world.fanout.heldNodes, []);
    }),
    { numRuns: 300 },
  );
  assert.ok(
    seen.snapshots > 600 &&
      seen.repairs > 200 &&
      seen.mismatches > 20 &&
      seen.renamed > 10 &&
      seen.held > 10 &&
      seen.refused > 10,
    `the cases cover too little: ${JSON.stringify(seen)}`,
  );
});
