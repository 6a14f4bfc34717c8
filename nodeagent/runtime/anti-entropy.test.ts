import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import { Digest } from "@weft/proto/digest.ts";
import { DigestsSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack, Digests } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { hash64 } from "@weft/proto/hash.ts";
import { encodedBackend, encodedName, encodedService } from "../sync/described-resources.ts";
import type { EncodedResource } from "../sync/described-resources.ts";
import { readPart } from "../sync/received-resource.ts";
import { Store } from "../sync/store.ts";
import { fakeEpoch, snapshot } from "./fake-control-plane.ts";
import type { Response } from "./fake-control-plane.ts";
import { AgentLab } from "./test-agents.ts";

const web = encodedService({ name: "default/web", clusterIps: ["10.96.0.1"] });
const [web1, web2, web3] = [1, 2, 3].map((i) => encodedBackend({ service: "default/web", address: `10.1.0.${i}` })) as [
  EncodedResource,
  EncodedResource,
  EncodedResource,
];
const bucketOf = ({ id }: EncodedResource): number => Number(id & 1_023n);

/** The buckets of these, as a repair names them. */
const bucketsOf = (...all: readonly EncodedResource[]): number[] =>
  [...new Set(all.map(bucketOf))].toSorted((a, b) => a - b);

const at =
  (revision: number) =>
  (ack: Ack): boolean =>
    ack.revision === BigInt(revision);

function repair(
  to: number,
  buckets: readonly number[],
  put: readonly EncodedResource[],
  removed: readonly EncodedResource[] = [],
): Response {
  const resources = put.map(({ bytes }) => bytes);
  return {
    delta: { to: BigInt(to), scope: { buckets: [...buckets] }, removed: removed.map(({ id }) => id), resources },
  };
}

function digestOf(all: readonly EncodedResource[]): bigint {
  const digest = new Digest();
  for (const { id, bytes } of all) digest.add(id, hash64(bytes));
  return digest.root;
}

/** Behind the agent's back. */
function spoil(store: Store, removed: readonly EncodedResource[], put: readonly EncodedResource[]): void {
  const reading = readPart({ removed: removed.map(({ id }) => id), resources: put.map(({ bytes }) => bytes) });
  assert.ok(reading.kind === "part");
  store.commit([reading.part], "nothing");
}

describe("an agent refuses a repair that is none: it ends the stream and keeps what it holds", () => {
  const all = bucketsOf(web, web1, web2);
  const elsewhere = (bucketOf(web3) + 1) % 1_024;
  const cases: readonly (readonly [what: string, response: Response, reason: RegExp])[] = [
    ["of no bucket", repair(9, [], [web2]), /a repair of the buckets \[\]/],
    ["of buckets that do not ascend", repair(9, all.toReversed(), [web2]), /a repair of the buckets/],
    ["of a bucket that there is not", repair(9, [...all, 1_024], [web2]), /a repair of the buckets/],
    [
      "that puts something into another bucket",
      repair(9, [elsewhere], [web3]),
      /touches resource .* which it does not name/,
    ],
    ["that removes something of another bucket", repair(9, bucketsOf(web2), [web2], [web1]), /which it does not name/],
    [
      "that removes a service with backends of another bucket",
      repair(9, bucketsOf(web), [], [web]),
      /which it does not name/,
    ],
    ["that leads back", repair(4, all, [web2]), /a delta to 4, behind the cursor 5/],
  ];
  for (const [what, response, reason] of cases) {
    it(what, async () => {
      await using lab = await AgentLab.start();
      const agent = await lab.agent();
      const stream = await lab.plane.stream();
      await stream.greet();
      stream.send(snapshot(5, [web, web1]));
      await stream.ack(at(5));
      stream.send(response);
      await stream.ended();
      assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
      const hello = await (await lab.plane.stream()).greet();
      assert.deepEqual([hello.cursor?.revision, hello.digest], [5n, digestOf([web, web1])]);
      assert.ok(
        lab.log.some((line) => reason.test(line)),
        lab.log.join(""),
      );
      assert.equal(lab.count('weft_agent_streams_ended_total{cause="protocol-error"}'), 1);
    });
  }

  it("of which the second part is another one", async () => {
    await using lab = await AgentLab.start();
    const agent = await lab.agent();
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(at(5));
    const first = { to: 9n, parts: 2, scope: { buckets: bucketsOf(web2, web3) }, resources: [web3.bytes] };
    stream.send({ delta: first });
    stream.send({ delta: { ...first, part: 1, scope: { buckets: bucketsOf(web1, web3) }, resources: [] } });
    await stream.ended();
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080"]);
  });
});

describe("an agent whose store went wrong", () => {
  it("says so at the next heartbeat, answers what it holds, and names what its repair changed", async () => {
    await using lab = await AgentLab.start();
    const store = new Store();
    const agent = await lab.agent({ store });
    const stream = await lab.plane.stream();
    await stream.greet();
    const right = [web, web1, web2];
    stream.send(snapshot(5, right));
    assert.equal((await stream.ack(at(5))).digest, digestOf(right));
    const other = encodedService({ name: "default/web", clusterIps: ["10.96.0.9"] });
    const wrong = [other, web1, web3];
    spoil(store, [web2], [other, web3]);

    stream.send({ heartbeat: { sequence: 1n, revision: 5n, digest: digestOf(right), synced: true } });
    const ack = await stream.ack(({ heartbeat }) => heartbeat === 1n);
    assert.deepEqual([ack.revision, ack.digest], [5n, digestOf(wrong)]);
    assert.equal(lab.count("weft_agent_digest_mismatches_total"), 1);

    stream.send({ digestQuery: { buckets: bucketsOf(web2, web3) } });
    assert.deepEqual(
      (await stream.digests()).resources.map(({ id }) => id),
      wrong.filter((one) => bucketsOf(web2, web3).includes(bucketOf(one))).map(({ id }) => id),
    );
    stream.send(repair(5, bucketsOf(web, web2, web3), [web, web2], [web3]));
    stream.send({ heartbeat: { sequence: 2n, revision: 5n, digest: digestOf(right), synced: true } });
    assert.equal((await stream.ack(({ heartbeat }) => heartbeat === 2n)).digest, digestOf(right));
    assert.deepEqual(agent.backends(), ["10.1.0.1:8080", "10.1.0.2:8080"]);
    assert.equal(lab.count("weft_agent_digest_mismatches_total"), 1);
    assert.equal(lab.count("weft_agent_repaired_resources_total"), 3);
    const named =
      "repaired: 3 resources: Service default/web, Backend default/web 10.1.0.2, Backend default/web 10.1.0.3";
    assert.ok(
      lab.log.some((line) => line.includes(named)),
      lab.log.join(""),
    );
  });

  it("has the repair on its disk", async () => {
    await using lab = await AgentLab.start();
    const store = new Store();
    const agent = await lab.agent({ store });
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(5, [web, web1]));
    await stream.ack(at(5));
    spoil(store, [web1], []);
    stream.send(repair(6, bucketsOf(web1, web2), [web1, web2]));
    await stream.ack(at(6));
    await agent.stop();
    const again = await lab.agent();
    assert.deepEqual(again.backends(), ["10.1.0.1:8080", "10.1.0.2:8080"]);
  });
});

describe("an answer to a digest query", () => {
  it("comes in messages that the control plane reads", async () => {
    await using lab = await AgentLab.start();
    await lab.agent();
    const stream = await lab.plane.stream();
    await stream.hello();
    const limits = { heartbeatMs: 10_000, failuresMax: 1_000, messageBytesMax: 9_000 };
    stream.send({ welcome: { epoch: fakeEpoch, limits, protocol: 1, version: "fake" } });
    stream.send({ nodeView: { zone: "z1", serviceCidrs: [] } });
    const held = Array.from({ length: 1_500 }, (_, i) => encodedName(`name ${i}`));
    stream.send(snapshot(5, held));
    await stream.ack(at(5));
    stream.send({ digestQuery: { allBuckets: true, buckets: Array.from({ length: 1_024 }, (_, i) => i) } });
    const messages: Digests[] = [];
    do messages.push(await stream.digests());
    while (messages.at(-1)?.last === false);
    assert.ok(messages.length > 3);
    for (const message of messages) assert.ok(toBinary(DigestsSchema, message).length < 9_000);
    assert.deepEqual(
      messages.map(({ buckets }) => buckets.length),
      messages.map((_, i) => (i === 0 ? 1_024 : 0)),
    );
    const told = new Map(messages.flatMap(({ resources }) => resources.map(({ id, hash }) => [id, hash])));
    const digest = new Digest();
    for (const { id, bytes } of held) digest.add(id, hash64(bytes));
    assert.equal(told.size, held.length);
    assert.equal(
      [...told.values()].reduce((sum, hash) => BigInt.asUintN(64, sum + hash), 0n),
      digest.root,
    );
    assert.equal(
      messages[0]?.buckets.reduce((sum, one) => BigInt.asUintN(64, sum + one), 0n),
      digest.root,
    );
  });
});

describe("ids by bucket are kept", () => {
  const ends: readonly (readonly [what: string, last: Response | "end"])[] = [
    ["a delta that changes nothing", repair(5, bucketsOf(web), [web])],
    ["Synced", { synced: { revision: 5n } }],
    ["the end of the stream", "end"],
  ];
  for (const [what, last] of ends) {
    it(`from one query to the next, until ${what}`, async () => {
      await using lab = await AgentLab.start();
      const store = new Store();
      await lab.agent({ store });
      const stream = await lab.plane.stream();
      await stream.greet();
      stream.send(snapshot(5, [web, web1]));
      await stream.ack(at(5));
      stream.send({ digestQuery: { allBuckets: true } });
      await stream.digests();
      assert.equal(store.hasBuckets, false);
      for (const one of [web, web1]) {
        stream.send({ digestQuery: { buckets: bucketsOf(one) } });
        assert.deepEqual(
          (await stream.digests()).resources.map(({ id }) => id),
          [one.id],
        );
        assert.equal(store.hasBuckets, true);
      }
      if (last === "end") {
        stream.end();
        await (await lab.plane.stream()).greet();
      } else {
        stream.send(last);
        stream.send({ heartbeat: { sequence: 1n, revision: 5n, synced: true } });
        await stream.ack(({ heartbeat }) => heartbeat === 1n);
      }
      assert.equal(store.hasBuckets, false);
    });
  }
});
