import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { bucketOf, digestBuckets } from "@weft/proto/digest.ts";
import { AckSchema, DigestsSchema, FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { hashToBigint } from "@weft/proto/hash.ts";
import { comparisonLimits } from "./comparison.ts";
import type { Doubt } from "./doubt.ts";
import { mismatchBackoffFirstMs, mismatchBackoffMaxMs } from "./mismatch.ts";
import { reportedDigestsOf } from "./reported-digests.ts";
import { streamLimits } from "./stream-limits.ts";
import type { Effect, Need, Note, OpenStream, Step, StreamEvent, StreamState, World } from "./stream-state.ts";
import { stuckSinceMs } from "./stream-query.ts";
import { step } from "./stream-step.ts";
import {
  cut,
  decode,
  need,
  nowMs,
  open,
  print,
  printStep,
  services,
  sumsBut,
  three,
  two,
  world,
} from "./testing-streams.ts";
import { Transfer } from "./transfer.ts";

const asked = (more: Partial<Need> = {}, of: Partial<OpenStream> = {}): OpenStream =>
  open(
    {
      kind: "querying",
      need: { ...need, ...more },
      owes: undefined,
      askedMs: nowMs,
      sums: undefined,
      comparison: undefined,
      revision: undefined,
    },
    of,
  );

const digests = (init: MessageInitShape<typeof DigestsSchema>): StreamEvent => ({
  kind: "digests",
  digests: reportedDigestsOf(create(DigestsSchema, { revision: 3n, ...init })),
});
const sums = (i: number): StreamEvent => ({ kind: "digests", digests: sumsBut(i) });
const allSums = sumsBut(-1).sums;
const written: StreamEvent = { kind: "written" };
const c = services[2] ?? assert.fail();

function notesOf(effects: readonly Effect[]): readonly Note[] {
  return effects.flatMap((effect) => (effect.kind === "note" ? [effect.note] : []));
}

function reasonOf({ effects }: Step): string | undefined {
  const [last] = effects.flatMap((effect) => (effect.kind === "end" ? [effect.refusal.reason] : []));
  return last;
}

// Asked for the hashes in the bucket of c, of which the agent says that it is empty.
const hashesAsked = ((): OpenStream => {
  const { state, effects } = step(asked(), sums(2), world, nowMs);
  assert.deepEqual(decode(effects[0]).digestQuery?.buckets, [bucketOf(c.id)]);
  const { state: quiet } = step(state, written, world, nowMs);
  assert.ok(quiet.phase === "open");
  return quiet;
})();

describe("a digest cut that is being made", () => {
  const making: World = { ...world, digestCut: () => undefined };
  const awaiting = ((): OpenStream => {
    const { state, effects } = step(asked(), sums(2), making, nowMs + 5);
    assert.deepEqual(effects, [{ kind: "await-cut" }]);
    assert.ok(state.phase === "open");
    return state;
  })();
  const cutMade: StreamEvent = { kind: "cut-made", cut };

  test("is compared with the sums that waited for it, once", () => {
    const { state, effects } = step(awaiting, cutMade, making, nowMs + 9);
    assert.deepEqual(decode(effects[0]).digestQuery?.buckets, [bucketOf(c.id)]);
    assert.equal(printStep(step(step(state, written, making, nowMs).state, cutMade, making, nowMs)), "querying hashes");
  });

  test("is no time of the agent's", () => {
    const lateMs = nowMs + streamLimits.digestsMs + 100;
    const alive = { ...awaiting, heardMs: lateMs, nextHeartbeatMs: lateMs + 100_000 };
    assert.equal(printStep(step(alive, { kind: "tick", isLate: false }, making, lateMs)), "querying sums");
    assert.equal(stuckSinceMs(alive), undefined);
    const { state } = step(alive, cutMade, making, lateMs);
    const quiet = step(state, written, making, lateMs).state;
    assert.equal(stuckSinceMs(quiet), lateMs);
    const tick = (ms: number): string => printStep(step(quiet, { kind: "tick", isLate: false }, making, lateMs + ms));
    assert.equal(tick(streamLimits.digestsMs), "querying hashes");
    assert.match(tick(streamLimits.digestsMs + 1), /^transferring 1: note/);
  });
});

describe("one that does not answer", () => {
  test("is stuck since it was asked, whatever part of an answer came: it cannot keep its turn by answering little by little", () => {
    const queued = open({ kind: "queued", need });
    const first = step(queued, { kind: "granted" }, world, nowMs).state;
    assert.equal(stuckSinceMs(first), nowMs, "it does not even read");
    assert.equal(stuckSinceMs(step(first, written, world, nowMs + 3).state), nowMs);
    const part = digests({ resources: [{ id: c.id, hash: 1n }] });
    assert.equal(stuckSinceMs(step(hashesAsked, part, world, nowMs + 7).state), nowMs);
    assert.equal(stuckSinceMs(queued), undefined);
    assert.equal(stuckSinceMs(open({ kind: "following", cursor: three })), undefined);
  });

  test("gives its turn to others, waits for one for a snapshot, and is not heard on digests any more", () => {
    const displaced = step(hashesAsked, { kind: "displaced" }, world, nowMs);
    assert.equal(printStep(displaced), "queued: release-snapshot request-snapshot");
    const late = step(displaced.state, digests({ last: true }), world, nowMs);
    assert.equal(printStep(late), "queued");
    const { effects } = step(late.state, { kind: "granted" }, world, nowMs);
    assert.deepEqual(notesOf(effects), [{ kind: "snapshot", instead: "unanswered" }]);
  });

  test("nor does it read: it is ended", () => {
    const unread = { ...hashesAsked, writing: { sinceMs: nowMs - 9 } };
    const ended = step(unread, { kind: "displaced" }, world, nowMs);
    assert.equal(reasonOf(ended), "stalled");
    assert.equal(printStep(ended), "ended: release-snapshot end");
  });
});

describe("the conversation", () => {
  test("a turn, sums, hashes, and a repair of what differs, with the mark of an agent of this history", () => {
    const queued = open({ kind: "queued", need });
    const first = step(queued, { kind: "granted" }, world, nowMs);
    assert.equal(decode(first.effects[0]).digestQuery?.allBuckets, true);
    const { state, effects } = step(hashesAsked, digests({ last: true }), world, nowMs);
    assert.equal(print(state), "following 3");
    const [note] = notesOf(effects);
    assert.ok(note?.kind === "repair");
    assert.deepEqual(
      note.differences.puts.map(({ name }) => name),
      ["c"],
    );
    const { delta } = decode(effects.at(-1));
    assert.equal(delta?.from, undefined);
    assert.deepEqual(
      [delta?.scope?.buckets, delta?.scope?.everything, delta?.massRemovalConfirmed, delta?.resources.length],
      [[bucketOf(c.id)], false, true, 1],
    );
    // Whether it helped is asked at once.
    const next = step(state, written, world, nowMs);
    assert.deepEqual(
      next.effects.map(({ kind }) => kind),
      ["release-snapshot", "write"],
    );
    assert.equal(decode(next.effects.at(-1)).heartbeat?.digest, world.root);
  });

  test("an answer may come in several messages", () => {
    const foreign = { id: BigInt(bucketOf(c.id)) + 1_024n, hash: 5n };
    const all = [...allSums];
    all[bucketOf(c.id)] = BigInt.asUintN(64, hashToBigint(c.hash) + 5n);
    const first = step(asked(), digests({ buckets: all, last: true }), world, nowMs).state;
    const second = step(step(first, written, world, nowMs).state, digests({ resources: [foreign] }), world, nowMs);
    assert.equal(printStep(second), "querying hashes");
    const rest = [{ id: c.id, hash: hashToBigint(c.hash) }];
    const { effects } = step(second.state, digests({ resources: rest, last: true }), world, nowMs);
    const { delta } = decode(effects.at(-1));
    assert.deepEqual([delta?.removed, delta?.resources], [[foreign.id], []]);
  });

  test("what holds the same after all is told that it is at the head, and gives back its turn", () => {
    const { state, effects } = step(asked(), digests({ buckets: [...allSums], last: true }), world, nowMs);
    assert.equal(printStep({ state, effects }), "following 3: release-snapshot write");
    assert.equal(decode(effects.at(-1)).synced?.revision, 3n);
  });

  test("nothing else is written meanwhile but heartbeats and views, and no second Welcome", () => {
    const renamed: World = { ...world, epoch: epoch(9, 9) };
    const owing = step(asked(), { kind: "renamed" }, renamed, nowMs);
    assert.equal(printStep(owing), "querying sums");
    assert.equal(printStep(step(owing.state, { kind: "published" }, renamed, nowMs)), "querying sums");
    const beat = step(owing.state, { kind: "tick", isLate: false }, renamed, nowMs + 1);
    const { welcome, heartbeat } = decode(beat.effects[0]);
    assert.deepEqual([welcome, heartbeat?.digest], [undefined, undefined]);
    const done = step(
      step(beat.state, written, renamed, nowMs).state,
      digests({ buckets: [...allSums], last: true }),
      renamed,
      nowMs,
    );
    assert.ok(decode(done.effects.at(-1)).welcome);
  });

  const doubt: Doubt = { by: "control-plane", digest: 9n, services: 20 };
  const more: World = { ...world, services: 15 };
  const marks: readonly (readonly [name: string, of: World, mark: boolean | undefined])[] = [
    ["is not confirmed where few services go", more, false],
    ["is confirmed by a person", { ...world, isRemovalConfirmed: true }, true],
    ["is held where it became a mass removal meanwhile", world, undefined],
  ];
  for (const [name, of, mark] of marks) {
    test(`the repair of an agent of another history ${name}`, () => {
      const doubted = { ...hashesAsked, progress: { ...hashesAsked.progress, need: { ...need, doubt } } } as OpenStream;
      const { state, effects } = step(doubted, digests({ last: true }), of, nowMs);
      if (mark === undefined) {
        assert.equal(printStep({ state, effects }), "held: release-snapshot");
        return;
      }
      assert.equal(decode(effects.at(-1)).delta?.massRemovalConfirmed, mark);
      assert.ok(state.phase === "open" && state.isOurs === mark);
      const failures = [{ category: FailureCategory.MASS_REMOVAL_HELD }];
      const refusal: StreamEvent = { kind: "ack", ack: create(AckSchema, { revision: 0n, digest: 9n, failures }) };
      assert.equal(print(step(state, refusal, of, nowMs).state), mark ? "following 3" : "held");
    });
  }

  test("what took an unconfirmed repair is of this history from its ack on, and compacted history waits for that", () => {
    const compacted: World = { ...world, head: revision(9), delta: () => undefined };
    const took = open({ kind: "following", cursor: three }, { isOurs: false });
    assert.equal(printStep(step(took, { kind: "published" }, compacted, nowMs)), "following 3");
    const ack: StreamEvent = { kind: "ack", ack: create(AckSchema, { revision: 3n, digest: 7n }) };
    assert.equal(printStep(step(took, ack, compacted, nowMs)), "queued: acked request-snapshot");
  });
});

describe("a snapshot takes the place of the repair", () => {
  const snapshotOf = ({ state, effects }: Step): string | undefined => {
    const [note] = notesOf(effects);
    assert.equal(print(state), "transferring 1");
    return note?.kind === "snapshot" ? (note.instead ?? "nothing") : undefined;
  };

  test("if the agent does not answer in time, and it is not asked again", () => {
    const limit = nowMs + streamLimits.digestsMs;
    const waiting = asked({}, { heardMs: limit, nextHeartbeatMs: limit + 10 });
    const at = (ms: number, isLate: boolean): Step => step(waiting, { kind: "tick", isLate }, world, ms);
    assert.equal(printStep(at(limit, false)), "querying sums");
    assert.equal(printStep(at(limit + 1, true)), "querying sums");
    const given = at(limit + 1, false);
    assert.equal(snapshotOf(given), "unanswered");
    assert.ok(given.state.phase === "open" && !given.state.isAskable);
    assert.equal(printStep(step(given.state, sums(2), world, limit + 2)), "transferring 1");
  });

  const tick = (state: StreamState, ms: number): Step => {
    assert.ok(state.phase === "open");
    const alive = { ...state, heardMs: ms, nextHeartbeatMs: ms + 10 };
    return step(alive, { kind: "tick", isLate: false }, world, ms);
  };

  test("if a part of the answer is missing then, however late another one came", () => {
    const limit = nowMs + streamLimits.digestsMs;
    const { state } = step(hashesAsked, digests({ resources: [{ id: c.id, hash: 1n }] }), world, limit);
    assert.equal(printStep(tick(state, limit)), "querying hashes");
    assert.equal(snapshotOf(tick(state, limit + 1)), "unanswered");
  });

  test("but not where each question is answered in time, however long all of them take", () => {
    const answeredMs = nowMs + streamLimits.digestsMs;
    const next = step(step(asked(), sums(2), world, answeredMs).state, written, world, answeredMs).state;
    assert.equal(printStep(tick(next, answeredMs + streamLimits.digestsMs)), "querying hashes");
    assert.equal(snapshotOf(tick(next, answeredMs + streamLimits.digestsMs + 1)), "unanswered");
  });

  test("if the hashes cannot be of our content", () => {
    const resources = Array.from({ length: comparisonLimits.hashesMax + 1 }, (_, i) => ({
      id: BigInt(i + 1) * 1_024n + BigInt(bucketOf(c.id)),
      hash: 1n,
    }));
    const given = step(hashesAsked, digests({ resources }), world, nowMs);
    assert.equal(snapshotOf(given), "foreign");
    // The rest of the answer is passed over.
    assert.equal(printStep(step(given.state, digests({ last: true }), world, nowMs)), "transferring 1");
  });

  test("if it is fewer bytes", () => {
    const none = Array.from({ length: digestBuckets }, () => 0n);
    assert.equal(snapshotOf(step(asked(), digests({ buckets: none, last: true }), world, nowMs)), "smaller");
  });

  test("if the history was compacted meanwhile", () => {
    const compacted: World = { ...world, repair: () => undefined };
    assert.equal(snapshotOf(step(hashesAsked, digests({ last: true }), compacted, nowMs)), "compacted");
  });

  test("if there is nothing to compare, without a word", () => {
    const empty = open({ kind: "queued", need: { ...need, isComparable: false } });
    assert.equal(snapshotOf(step(empty, { kind: "granted" }, world, nowMs)), "nothing");
    const deaf = open({ kind: "queued", need }, { isAskable: false });
    assert.equal(snapshotOf(step(deaf, { kind: "granted" }, world, nowMs)), "unanswered");
  });
});

describe("digests that break the rules end the stream", () => {
  const cases: readonly (readonly [name: string, from: OpenStream, event: StreamEvent, reason: string | undefined])[] =
    [
      ["1,023 sums", asked(), digests({ buckets: [...allSums].slice(1), last: true }), "bad-digests"],
      ["sums without an end", asked(), digests({ buckets: [...allSums] }), "bad-digests"],
      ["hashes for sums", asked(), digests({ resources: [{ id: 1n, hash: 1n }], last: true }), "bad-digests"],
      [
        "sums of a revision that is not there yet",
        asked(),
        digests({ revision: 4n, buckets: [...allSums], last: true }),
        "bad-digests",
      ],
      ["sums for hashes", hashesAsked, digests({ buckets: [...allSums], last: true }), "bad-digests"],
      ["hashes of another revision than the sums", hashesAsked, digests({ revision: 2n, last: true }), "bad-digests"],
      [
        "hashes of a bucket that was not asked for",
        hashesAsked,
        digests({ resources: [{ id: 1n, hash: 1n }], last: true }),
        "bad-digests",
      ],
      [
        "hashes that do not add up",
        hashesAsked,
        digests({ resources: [{ id: c.id, hash: 1n }], last: true }),
        "bad-digests",
      ],
      ["an answer before the question was written", asked(), sums(2), undefined],
      ["an answer when nobody asks", open({ kind: "following", cursor: three }), sums(2), "digests-unasked"],
      [
        "an answer that nobody waits for any more",
        open({ kind: "following", cursor: three }, { isAskable: false }),
        sums(2),
        undefined,
      ],
    ];
  for (const [name, from, event, reason] of cases) {
    test(name, () => {
      assert.equal(reasonOf(step(from, event, world, nowMs)), reason);
    });
  }

  test("a second answer to one question", () => {
    const { state } = step(asked(), sums(2), world, nowMs);
    const owing = { ...state, writing: { sinceMs: nowMs } } as OpenStream;
    const unwritten =
      owing.progress.kind === "querying"
        ? { ...owing, progress: { ...owing.progress, owes: { allBuckets: true, buckets: [] } } }
        : owing;
    assert.equal(reasonOf(step(unwritten, sums(2), world, nowMs)), "digests-unasked");
  });
});

describe("a mismatch", () => {
  const ack = (sequence: number, digest: bigint): StreamEvent => ({
    kind: "ack",
    ack: create(AckSchema, { revision: 3n, digest, heartbeat: BigInt(sequence), counts: {} }),
  });
  // Follows at the head; a heartbeat that compares was just written.
  const beaten = (from: StreamState, atMs: number): OpenStream => {
    assert.ok(from.phase === "open");
    return {
      ...from,
      progress: { kind: "following", cursor: three },
      hasTurn: false,
      writing: undefined,
      owesSynced: undefined,
      heartbeat: { sequence: from.heartbeat.sequence + 1, atMs, compares: three },
    };
  };
  const answersAt = (times: readonly number[]): readonly string[] => {
    let state: StreamState = open({ kind: "following", cursor: three });
    return times.map((ms) => {
      const from = beaten(state, nowMs + ms);
      const { state: next, effects } = step(from, ack(from.heartbeat.sequence, 9n), world, nowMs + ms);
      state = next;
      const [note] = notesOf(effects);
      return note?.kind === "mismatch" ? note.answer : "nothing";
    });
  };

  test("is answered by a repair, then a snapshot, then one now and then, ever more seldom", () => {
    const first = mismatchBackoffFirstMs;
    assert.deepEqual(answersAt([0, 1, 2, first, first + 1, first + 2, 3 * first, 3 * first + 2]), [
      "repair",
      "snapshot",
      "none",
      "none",
      "snapshot",
      "none",
      "none",
      "snapshot",
    ]);
    const hourly = Array.from({ length: 40 }, (_, i) => i * (mismatchBackoffMaxMs + 1));
    assert.ok(answersAt(hourly).every((answer) => answer !== "none"));
  });

  test("that went away is forgotten, and said", () => {
    const from = beaten(
      { ...open({ kind: "following", cursor: three }), mismatch: { answers: 2, nextMs: nowMs } },
      nowMs,
    );
    const { state, effects } = step(from, ack(from.heartbeat.sequence, world.root), world, nowMs);
    assert.deepEqual(notesOf(effects), [{ kind: "mended", revision: three }]);
    assert.ok(state.phase === "open" && state.mismatch === undefined);
  });

  test("the second answer is a snapshot of the head, without a question", () => {
    const persisting = open({ kind: "queued", need: { ...need, isComparable: false, isMismatch: true } });
    const cuts: boolean[] = [];
    const snapshot: World["snapshot"] = (_, __, isGood) => {
      cuts.push(isGood(Transfer.snapshot(two, [], true, 1_000)));
      return Transfer.snapshot(three, [], true, 1_000);
    };
    const { effects } = step(persisting, { kind: "granted" }, { ...world, snapshot }, nowMs);
    assert.deepEqual(notesOf(effects), [{ kind: "snapshot", instead: "persists" }]);
    // One of before what it holds would take it back.
    assert.deepEqual(cuts, [false]);
  });

  const atHead = beaten(open({ kind: "following", cursor: three }), nowMs);
  const evidence: readonly (readonly [name: string, from: OpenStream, ack: StreamEvent, isEvidence: boolean])[] = [
    ["the answer to a heartbeat that compares", atHead, ack(5, 9n), true],
    ["an ack that answers no heartbeat", atHead, ack(0, 9n), false],
    ["the answer to an older heartbeat", atHead, ack(4, 9n), false],
    [
      "the answer to a heartbeat without a digest",
      { ...atHead, heartbeat: { ...atHead.heartbeat, compares: undefined } },
      ack(5, 9n),
      false,
    ],
    ["of a stream that lags", { ...atHead, progress: { kind: "following", cursor: two } }, ack(5, 9n), false],
    ["of a stream that is not told yet where it is", { ...atHead, owesSynced: "at-cursor" }, ack(5, 9n), false],
    [
      "an ack of an older revision",
      atHead,
      { kind: "ack", ack: create(AckSchema, { revision: 2n, digest: 9n, heartbeat: 5n, counts: {} }) },
      false,
    ],
    [
      "an ack that says nothing of what is held",
      atHead,
      { kind: "ack", ack: create(AckSchema, { revision: 3n, heartbeat: 5n }) },
      false,
    ],
    [
      "an ack of one that lost everything",
      atHead,
      { kind: "ack", ack: create(AckSchema, { revision: 3n, heartbeat: 5n, counts: {} }) },
      true,
    ],
  ];
  for (const [name, from, event, isEvidence] of evidence) {
    test(`${isEvidence ? "is seen in" : "is not seen in"} ${name}`, () => {
      assert.equal(notesOf(step(from, event, world, nowMs).effects).length, isEvidence ? 1 : 0);
    });
  }

  test("is seen in a Hello at the head, and not in one that says nothing", () => {
    const waiting = (digest: bigint): OpenStream =>
      open({ kind: "waiting", cursor: { epoch: world.epoch, revision: three }, digest, services: 4 }, { isOurs: true });
    const kinds = [9n, world.root, 0n].map((digest) =>
      printStep(step(waiting(digest), { kind: "published" }, world, nowMs)),
    );
    assert.deepEqual(kinds, ["queued: note request-snapshot", "following 3", "following 3"]);
  });
});
