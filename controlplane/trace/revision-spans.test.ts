import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Span } from "@weft/proto/telemetry/span.ts";
import { traceIdOf } from "@weft/proto/telemetry/trace-id.ts";
import { Fleet } from "../fleet/fleet.ts";
import { ackOf, Commits } from "../fleet/testing-resources.ts";
import { openMax, openMsMax, RevisionSpans } from "./revision-spans.ts";
import { TraceChoice } from "./trace-choice.ts";

const history = epoch(1_763_881_972_000, 7);
const later = epoch(1_763_881_973_000, 7);

/** A fleet whose every revision is sampled, and the spans made of it. Time is in microseconds. */
class Story {
  readonly fleet = new Fleet(0);
  readonly spans: Span[] = [];
  readonly traces = new RevisionSpans({ add: (spans) => void this.spans.push(...spans) }, "manifests", history);
  readonly #commits = new Commits();
  #revision = 0;
  #instance = 0n;

  constructor(...nodes: readonly string[]) {
    this.fleet.subscribe((event) => this.traces.take(event));
    this.fleet.epochStarted(history);
    this.fleet.synced();
    for (const node of nodes) this.connect(node);
  }

  connect(node: string): void {
    const nothing = { addresses: [], nodePortAddresses: [], localAddresses: [], servesLocalClusterIps: false };
    const instance = ++this.#instance;
    const applied = revision(0);
    this.fleet.connected({ node, instance, peer: "192.0.2.1:1", versions: undefined, applied, ...nothing }, 0);
  }

  commit(atUs: number, isSampled = true): void {
    this.#revision++;
    const traceId = isSampled ? traceIdOf({ epoch: history, revision: revision(this.#revision) }) : undefined;
    const steps = { noticedAtUs: atUs - 30, compileStartedAtUs: atUs - 20, compiledAtUs: atUs - 10, traceId };
    this.fleet.committed(this.#commits.commit([]), 100, atUs, steps);
  }

  ack(node: string, at: number, atUs: number): void {
    this.fleet.acked(node, ackOf({ revision: at }), undefined, atUs);
  }

  /** "name from-to" of each span, with what went wrong. */
  get told(): readonly string[] {
    return this.spans.map(({ name, startUs, endUs, problem }) => `${name} ${startUs}-${endUs} ${problem ?? ""}`.trim());
  }

  get roots(): readonly string[] {
    return this.told.filter((text) => text.startsWith("revision"));
  }
}

const before = ["event 970-980", "compile 980-990", "commit 990-1000"];

describe("the spans of a revision", () => {
  test("end when it runs on all nodes that were connected, whoever comes later", () => {
    const story = new Story("n1", "n2");
    story.commit(1_000);
    story.connect("n3");
    story.fleet.flushed(revision(1), 1_100);
    story.ack("n1", 1, 1_200);
    assert.deepEqual(story.told, [...before, "fan-out 1000-1100"]);
    story.ack("n2", 1, 1_300);
    assert.deepEqual(story.told, [...before, "fan-out 1000-1100", "revision 970-1300"]);
    const root = story.spans.at(-1);
    assert.equal(root?.parentId, undefined);
    assert.deepEqual(
      [50, 90, 99, 100].map((percent) => root?.attributes[`weft.converged_${percent}_ms`]),
      [0.2, 0.3, 0.3, 0.3],
    );
    assert.ok(story.spans.slice(0, -1).every(({ parentId }) => parentId === root?.spanId));
    assert.equal(new Set(story.spans.map(({ traceId }) => traceId)).size, 1);
  });

  test("end with the last write where no node is connected", () => {
    const story = new Story();
    story.commit(1_000);
    story.fleet.flushed(revision(1), 1_100);
    assert.deepEqual(story.roots, ["revision 970-1100"]);
  });

  test("wait for the last write, also if every ack came before it", () => {
    const story = new Story("n1");
    story.commit(1_000);
    story.ack("n1", 1, 1_200);
    assert.deepEqual(story.roots, []);
    story.fleet.flushed(revision(1), 1_300);
    assert.deepEqual(story.roots, ["revision 970-1300"]);
  });

  test("tell what went wrong when it does not get everywhere in time", () => {
    const story = new Story("n1", "n2");
    story.commit(1_000);
    story.ack("n1", 1, 1_200);
    story.traces.expire(1_000 + openMsMax * 1_000 - 1);
    assert.deepEqual(story.roots, []);
    const atUs = 1_000 + openMsMax * 1_000;
    story.traces.expire(atUs);
    assert.deepEqual(story.roots, [`revision 970-${atUs} does not run on all 2 nodes`]);
    story.ack("n2", 1, atUs + 1);
    assert.equal(story.roots.length, 1);
  });

  test("end with the epoch, and with the program", () => {
    const renamed = new Story("n1");
    renamed.commit(1_000);
    renamed.fleet.epochStarted(later);
    assert.deepEqual(renamed.roots, ["revision 970-1000 its epoch ended"]);
    const stopped = new Story("n1");
    stopped.commit(1_000);
    stopped.traces.close(2_000);
    assert.deepEqual(stopped.roots, ["revision 970-2000 the control plane ended"]);
  });

  test("are bounded: the oldest is given up", () => {
    const story = new Story("n1");
    for (let i = 1; i <= openMax + 1; i++) story.commit(i * 1_000);
    assert.deepEqual(story.roots, [`revision 970-${(openMax + 1) * 1_000} more revisions came than are traced`]);
  });

  test("are none of a revision that is not sampled", () => {
    const story = new Story("n1");
    story.commit(1_000, false);
    story.fleet.flushed(revision(1), 1_100);
    story.ack("n1", 1, 1_200);
    assert.deepEqual(story.told, []);
  });
});

describe("the choice of what is traced", () => {
  const at = (of: number): { readonly epoch: typeof history; readonly revision: ReturnType<typeof revision> } => ({
    epoch: history,
    revision: revision(of),
  });

  test("is known for the head only, and for a head that is sampled", () => {
    const choice = new TraceChoice({ ratio: 0.5, nodes: { kind: "percent", percent: 100 } });
    for (let of = 1; of <= 40; of++) {
      const chosen = choice.choose(at(of), 3);
      assert.deepEqual(choice.contextOf(revision(of)), chosen);
      assert.equal(choice.contextOf(revision(of - 1)), undefined);
    }
  });

  for (const [nodes, agents, perMillion] of [
    [{ kind: "count", count: 100 }, 5_000, 20_000],
    [{ kind: "count", count: 100 }, 50, 1_000_000],
    [{ kind: "count", count: 1 }, 0, 1_000_000],
    [{ kind: "percent", percent: 10 }, 5_000, 100_000],
  ] as const) {
    test(`lets ${JSON.stringify(nodes)} of ${agents} nodes take part`, () => {
      assert.equal(new TraceChoice({ ratio: 1, nodes }).choose(at(1), agents)?.nodesPerMillion, perMillion);
    });
  }
});
