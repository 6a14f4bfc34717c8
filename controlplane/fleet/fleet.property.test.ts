/**
 * Random interleavings of commits, connections, acks with failures, disconnections, changes of the Node objects and waits, held
 * against a naive oracle that keeps the whole history and recomputes everything from it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { epoch } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { Fleet } from "./fleet.ts";
import { nodeSeenMs, settleMs } from "./node-table.ts";
import type { Quorum } from "./quorum.ts";
import { ackOf, address, backendResource, Commits, serviceResource, stepsAt } from "./testing-resources.ts";
import type { BackendSpec } from "./testing-resources.ts";
import type { WaitTarget } from "./wait.ts";
import type { WaitAnswer } from "./waits.ts";

const services = ["a/one", "a/two"];
const addresses = ["10.0.0.1", "10.0.0.2"];
const nodes = ["n1", "n2", "n3"];
type State = "ready" | "not-ready" | "terminating" | "gone";

type Step =
  | {
      readonly kind: "commit";
      readonly service: number;
      readonly address: number;
      readonly state: State;
      readonly touch: boolean;
    }
  | { readonly kind: "connect"; readonly node: number; readonly back: number }
  | {
      readonly kind: "ack";
      readonly node: number;
      readonly back: number;
      readonly failed: readonly number[];
      readonly unlisted: boolean;
    }
  | { readonly kind: "disconnect"; readonly node: number }
  | { readonly kind: "known"; readonly names: readonly number[] | undefined }
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "rename" };

const stepOf: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("commit" as const),
      service: fc.nat(1),
      address: fc.nat(1),
      state: fc.constantFrom<State>("ready", "not-ready", "terminating", "gone"),
      touch: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("connect" as const), node: fc.nat(2), back: fc.nat(3) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("ack" as const),
      node: fc.nat(2),
      back: fc.constantFrom(0, 0, 0, 1, 2),
      // 2 stands for the whole node.
      failed: fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        { weight: 2, arbitrary: fc.uniqueArray(fc.nat(2), { maxLength: 2 }) },
      ),
      unlisted: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("disconnect" as const), node: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("known" as const),
      names: fc.option(fc.uniqueArray(fc.nat(2)), { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(1_000, settleMs, nodeSeenMs) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "rename" as const }) },
);

/** One ack as the oracle remembers it. */
interface Seen {
  readonly revision: number;
  readonly failed: readonly string[];
  readonly isWhole: boolean;
}

interface OracleNode {
  connected: boolean;
  /** Acks since the node last lost anything; the last is the newest. Empty: nothing of this epoch. */
  acks: Seen[];
  /** The newest ack came on the open stream. */
  isFresh: boolean;
  goneAtMs: number;
  /** A node that held no more than this when it came back ran nothing later well. */
  ceiling: number;
}

class Oracle {
  /** holds[revision][service] = address -> state; [0] is the empty beginning. */
  readonly holds: Map<string, Map<string, State>>[] = [new Map(services.map((name) => [name, new Map()]))];
  readonly changed: Set<string>[] = [new Set()];
  readonly nodes = new Map<string, OracleNode>();
  known: readonly string[] | undefined;

  get head(): number {
    return this.holds.length - 1;
  }

  canChoose(revision: number, target: string): boolean {
    return services.some((service) => {
      const held = this.holds[revision]?.get(service) ?? new Map<string, State>();
      const state = held.get(target);
      if (state === "ready") return true;
      return state === "terminating" && ![...held.values()].includes("ready");
    });
  }

  /** The revision a node must run, or undefined while it can be chosen. */
  neededFor(target: WaitTarget & { kind: "drained" }, askedAt: number): number | undefined {
    const targets = target.backends.map((backend) => backend.address as string);
    if (this.head === 0) return undefined;
    let needed: number | undefined;
    for (let at = Math.max(1, askedAt); at <= this.head; at++) {
      if (targets.some((each) => this.canChoose(at, each))) needed = undefined;
      else needed ??= at;
    }
    return needed;
  }

  members(nowMs: number): readonly string[] {
    if (this.known !== undefined) return this.known;
    return [...this.nodes]
      .filter(([, node]) => node.connected || nowMs - node.goneAtMs < nodeSeenMs)
      .map(([name]) => name);
  }

  counts(name: string, needed: number, targets: readonly string[] | undefined): boolean {
    const node = this.nodes.get(name);
    if (node === undefined || !node.connected || !node.isFresh) return false;
    const newest = node.acks.at(-1);
    if (newest === undefined || newest.revision < needed) return false;
    if (newest.isWhole) return false;
    return newest.failed.every((service) => {
      const good = this.goodAt(node, service);
      for (let at = good; at <= this.head; at++) {
        if (targets === undefined) {
          if (at > good && at <= needed && this.changed[at]?.has(service) === true) return false;
        } else if (targets.some((target) => this.holds[at]?.get(service)?.has(target) === true)) return false;
      }
      return true;
    });
  }

  // The newest revision that the node ran with this service whole, before it failed without a break.
  goodAt(node: OracleNode, service: string): number {
    for (const ack of node.acks.toReversed()) {
      if (!ack.isWhole && !ack.failed.includes(service)) return Math.min(ack.revision, node.ceiling);
    }
    return 0;
  }
}

interface Run {
  readonly target: WaitTarget;
  readonly askedAt: number;
  readonly quorum: Quorum;
  readonly deadlineMs: number;
  answer: WaitAnswer | undefined;
}

const startedMs = 1_000_000;
const waitMs = 60_000;

function play(steps: readonly Step[], quorum: Quorum, hasNodes: boolean): void {
  const fleet = new Fleet(startedMs);
  const oracle = new Oracle();
  const commits = new Commits();
  const waits: Run[] = [];
  let nowMs = startedMs;
  let epochMs = 1;
  const setKnown = (names: readonly string[] | undefined): void => {
    oracle.known = names;
    fleet.nodesKnown(names === undefined ? undefined : new Set(names));
  };
  const commit = (puts: Parameters<Commits["commit"]>[0], removals: Parameters<Commits["commit"]>[1] = []): void => {
    fleet.committed(commits.commit(puts, removals), 100, nowMs * 1_000, stepsAt(nowMs * 1_000));
  };

  fleet.epochStarted(epoch(epochMs, 0));
  setKnown(hasNodes ? nodes : undefined);
  fleet.synced();
  oracle.holds.push(new Map(oracle.holds[0]));
  oracle.changed.push(new Set(services));
  commit(services.map((service) => serviceResource({ service })));

  const ask = (target: WaitTarget): void => {
    const run: Run = { target, askedAt: oracle.head, quorum, deadlineMs: nowMs + waitMs, answer: undefined };
    waits.push(run);
    const before = oracleSays(oracle, run, nowMs);
    fleet.wait(
      {
        target,
        quorum,
        deadlineMs: run.deadlineMs,
        listener: {
          noted: () => undefined,
          ended: (answer) => {
            assert.equal(run.answer, undefined, "two answers");
            run.answer = answer;
          },
        },
      },
      nowMs,
    );
    assert.equal(run.answer?.outcome === "done", before.isDone, "the answer when it was asked");
  };

  const check = (): void => {
    fleet.evaluate(nowMs);
    for (const run of waits.splice(0)) {
      const expected = oracleSays(oracle, run, nowMs);
      const isStale = run.target.kind === "revision" && run.target.epoch.createdMs !== epochMs;
      const outcome = isStale
        ? "epoch-ended"
        : expected.isDone
          ? "done"
          : nowMs >= run.deadlineMs
            ? "timeout"
            : undefined;
      assert.equal(run.answer?.outcome, outcome, `${JSON.stringify(run.target)} at head ${oracle.head}`);
      if (run.answer === undefined) waits.push(run);
      else if (!isStale) {
        assert.deepEqual([run.answer.have, run.answer.need], [expected.have, expected.need]);
        assert.deepEqual(
          run.answer.missing.map((missing) => missing.node),
          expected.missing,
        );
      }
    }
  };

  for (const [i, step] of steps.entries()) {
    const name = nodes["node" in step ? step.node : 0] ?? "";
    const node = oracle.nodes.get(name);
    switch (step.kind) {
      case "commit": {
        const service = services[step.service] ?? "";
        const target = addresses[step.address] ?? "";
        const next = new Map([...(oracle.holds.at(-1) ?? [])].map(([key, held]) => [key, new Map(held)]));
        if (step.state === "gone") next.get(service)?.delete(target);
        else next.get(service)?.set(target, step.state);
        oracle.holds.push(next);
        oracle.changed.push(new Set([service]));
        const spec: BackendSpec = {
          of: service,
          address: target,
          ...(step.state === "gone" ? {} : { state: step.state }),
        };
        const puts = step.touch ? [serviceResource({ service })] : [];
        if (step.state !== "gone") commit([...puts, backendResource(spec)]);
        else {
          // A removal of what is not there is no commit in the real catalog; touching the service makes it one.
          commit([serviceResource({ service })], [backendResource(spec)]);
        }
        break;
      }
      case "connect": {
        if (node?.connected === true) {
          fleet.disconnected(name, 1n, "replaced", nowMs * 1_000);
        }
        const held = node?.acks.at(-1)?.revision ?? 0;
        const applied = Math.max(0, held - step.back);
        const acks = node?.acks ?? [];
        fleet.connected(
          {
            node: name,
            instance: 1n,
            peer: "10.9.9.9:1",
            versions: undefined,
            addresses: [],
            nodePortAddresses: [],
            localAddresses: [],
            servesLocalClusterIps: false,
            applied: applied as Revision,
          },
          nowMs * 1_000,
        );
        const lowered = acks.map((ack) => ({ ...ack, revision: Math.min(ack.revision, applied) }));
        oracle.nodes.set(name, { connected: true, acks: lowered, isFresh: false, goneAtMs: 0, ceiling: Infinity });
        break;
      }
      case "ack": {
        if (node?.connected !== true) break;
        const revision = Math.max(0, oracle.head - step.back);
        const failed = step.failed.map((index) => services[index] ?? "");
        fleet.acked(name, ackOf({ revision, failed, unlisted: step.unlisted ? 1 : 0 }), undefined, nowMs * 1_000);
        const before = node.acks.map((ack) => ({ ...ack, revision: Math.min(ack.revision, revision) }));
        node.acks = [
          ...before,
          {
            revision,
            failed: failed.filter((service) => service !== ""),
            isWhole: step.unlisted || failed.includes(""),
          },
        ];
        node.isFresh = true;
        break;
      }
      case "disconnect":
        if (node?.connected !== true) break;
        fleet.disconnected(name, 1n, "closed", nowMs * 1_000);
        node.connected = false;
        node.goneAtMs = nowMs;
        break;
      case "known":
        setKnown(step.names?.map((index) => nodes[index] ?? ""));
        break;
      case "pass":
        nowMs += step.ms;
        break;
      case "rename":
        epochMs++;
        fleet.epochStarted(epoch(epochMs, 0));
        for (const each of oracle.nodes.values()) {
          each.acks = [];
          each.isFresh = false;
        }
        // A drained wait starts over at the head.
        for (const [at, run] of waits.entries())
          if (run.target.kind === "drained") waits[at] = rebase(run, oracle.head);
        break;
    }
    check();
    forgetLongGone(oracle, nowMs);
    const backends = addresses.slice(0, 1 + (i % 2)).map((each) => ({ address: address(each), port: 80 }));
    if (i % 3 === 0) ask({ kind: "drained", backends });
    if (i % 3 === 1) ask({ kind: "revision", epoch: epoch(epochMs, 0), revision: (oracle.head + (i % 2)) as Revision });
    for (let at = waits.length - 1; at >= 0; at--) if (waits[at]?.answer !== undefined) waits.splice(at, 1);
  }
}

// Keeps the listener's object: the answer is written to it.
function rebase(run: Run, head: number): Run {
  return Object.assign(run, { askedAt: head });
}

function forgetLongGone(oracle: Oracle, nowMs: number): void {
  for (const [name, node] of oracle.nodes) {
    const isKnown = oracle.known?.includes(name) === true;
    if (!node.connected && nowMs - node.goneAtMs >= nodeSeenMs && !isKnown) oracle.nodes.delete(name);
  }
}

function oracleSays(
  oracle: Oracle,
  run: Run,
  nowMs: number,
): { readonly isDone: boolean; readonly have: number; readonly need: number; readonly missing: readonly string[] } {
  const { target, quorum } = run;
  const members = oracle.members(nowMs);
  const need = quorum.kind === "nodes" ? quorum.nodes : Math.ceil((members.length * quorum.percent) / 100);
  const needed = target.kind === "revision" ? target.revision : oracle.neededFor(target, run.askedAt);
  const targets = target.kind === "drained" ? target.backends.map((backend) => backend.address) : undefined;
  const have = members.filter((name) => needed !== undefined && oracle.counts(name, needed, targets));
  const isSettled = oracle.known !== undefined || nowMs - startedMs >= settleMs;
  return {
    isDone: needed !== undefined && members.length > 0 && isSettled && have.length >= need,
    have: have.length,
    need,
    missing: members.filter((name) => !have.includes(name)).toSorted(),
  };
}

const quorumOf: fc.Arbitrary<Quorum> = fc.oneof(
  fc.record({ kind: fc.constant("percent" as const), percent: fc.constantFrom(1, 34, 50, 67, 100) }),
  fc.record({ kind: fc.constant("nodes" as const), nodes: fc.integer({ min: 1, max: 4 }) }),
);

test("no interleaving makes a wait answer what the whole history does not say", () => {
  fc.assert(
    fc.property(fc.array(stepOf, { maxLength: 80, size: "max" }), quorumOf, fc.boolean(), (steps, quorum, hasNodes) => {
      play(steps, quorum, hasNodes);
    }),
    { numRuns: 1_000 },
  );
});
