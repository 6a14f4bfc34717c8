import assert from "node:assert/strict";
import { test } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { fanoutLimits } from "../fanout/fanout-limits.ts";
import { streamLimits } from "../fanout/stream-limits.ts";
import { Claims } from "./claims.ts";
import type { ConnectedStream } from "./claims.ts";
import type { Claim } from "./worker-messages.ts";

interface World {
  readonly claims: Claims;
  readonly said: string[];
  nowMs: number;
}

function world(): World {
  const said: string[] = [];
  let at = epoch(1_000, 1);
  const of: World = {
    said,
    nowMs: 2_000,
    claims: new Claims({
      epoch: () => at,
      head: () => revision(9),
      limits: streamLimits,
      pace: fanoutLimits.pace,
      agentsRememberedMax: 10,
      now: () => of.nowMs,
      random: () => 0.5,
      answer: (worker, { claim }, answer) =>
        said.push(
          `${worker}.${claim} ${answer.kind}` +
            (answer.kind === "refused" ? ` ${answer.refusal.status} ${answer.refusal.message}` : "") +
            (answer.kind === "granted" && answer.sentBefore > 0 ? ` after ${answer.sentBefore}` : ""),
        ),
      replace: (worker, node, by) => said.push(`${worker} replace ${node} by ${by}`),
      rename: (to) => {
        at = to;
        said.push(`rename ${to.createdMs}`);
      },
      lost: (node, instance, reason) => said.push(`lost ${node} ${instance} ${reason}`),
    }),
  };
  return of;
}

function claimOf(claim: number, more: Partial<Claim> = {}): Claim {
  return {
    claim,
    node: "n1",
    instance: 1n,
    cursor: undefined,
    identity: { kind: "anonymous" },
    peer: `p:${claim}`,
    ...more,
  };
}

/** Claimed, granted and connected. */
function entered(of: World, worker: number, claim: Claim): ConnectedStream {
  of.claims.ask(worker, claim);
  return of.claims.connected(worker, claim.node, claim) ?? assert.fail();
}

test("a stream on another worker ends before the newer one is granted", () => {
  const of = world();
  entered(of, 1, claimOf(1)).sent = revision(7);
  of.claims.ask(2, claimOf(1, { peer: "q:1" }));
  assert.deepEqual(of.said, ["1.1 granted", "1 replace n1 by q:1"]);
  assert.ok(of.claims.disconnected(1, "n1"));
  assert.deepEqual(of.said.slice(2), ["2.1 granted after 7"]);
  assert.equal(of.claims.workerOf("n1"), 2);
  assert.equal(of.claims.disconnected(1, "n1"), false, "what the old worker says later is of no stream");
});

test("another instance is refused with both ends named, wherever it comes", () => {
  for (const worker of [1, 2]) {
    const of = world();
    entered(of, 1, claimOf(1));
    of.claims.ask(worker, claimOf(2, { instance: 2n, peer: "q:2" }));
    assert.match(of.said[1] ?? "", /refused ALREADY_EXISTS .*p:1.*q:2/);
  }
});

test("on the same worker the fan-out itself replaces the stream", () => {
  const of = world();
  entered(of, 1, claimOf(1));
  of.claims.ask(1, claimOf(2));
  assert.deepEqual(of.said, ["1.1 granted", "1.2 granted"]);
  assert.ok(of.claims.disconnected(1, "n1"));
  assert.ok(of.claims.connected(1, "n1", claimOf(2)));
});

test("several that wait are granted one after the other", () => {
  const of = world();
  entered(of, 1, claimOf(1));
  of.claims.ask(2, claimOf(2));
  of.claims.ask(3, claimOf(3));
  of.claims.disconnected(1, "n1");
  assert.deepEqual(of.said.slice(2), ["2.2 granted", "2 replace n1 by p:3"]);
  of.claims.abandoned(2, "n1", 2);
  assert.deepEqual(of.said.slice(4), ["3.3 granted"]);
});

test("the nodes of a worker that ended are free, and its own claims are dropped", () => {
  const of = world();
  entered(of, 1, claimOf(1));
  entered(of, 1, claimOf(2, { node: "n2" }));
  of.claims.ask(2, claimOf(3));
  of.claims.workerEnded(1);
  assert.deepEqual(of.said.slice(3), ["lost n1 1 worker-ended", "2.3 granted", "lost n2 1 worker-ended"]);
});

test("a worker that does not end a stream loses its node after a while", () => {
  const of = world();
  entered(of, 1, claimOf(1));
  of.claims.ask(2, claimOf(2));
  of.claims.tick();
  assert.equal(of.said.length, 2);
  of.nowMs += 6_000;
  of.claims.tick();
  assert.deepEqual(of.said.slice(2), ["lost n1 1 replaced", "2.2 granted"]);
});

test("a later epoch renames before the grant; an impostor moves nobody", () => {
  const of = world();
  of.claims.ask(1, claimOf(1, { cursor: { epoch: epoch(1_500, 3), revision: revision(4) } }));
  assert.deepEqual(of.said, ["rename 1501", "1.1 granted"]);
  of.claims.ask(2, claimOf(2, { identity: { kind: "node", node: "n9" } }));
  assert.match(of.said[2] ?? "", /PERMISSION_DENIED/);
});
