/** Agents, and others, that break the rules of the protocol. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { DigestsSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { RunningPipeline } from "../running-pipeline.ts";
import { endpoints } from "../scripted-source.ts";
import { cursorMessage, cursorOf } from "./scripted-agent.ts";
import type { ScriptedAgent } from "./scripted-agent.ts";
import { assertAtHead, started } from "./testing-service.ts";

describe("broken rules end that stream with a reason and nobody else's", () => {
  const dayMs = 86_400_000;
  const broken: readonly [
    name: string,
    reason: string,
    code: status,
    breakIt: (agent: ScriptedAgent, running: RunningPipeline) => unknown,
  ][] = [
    [
      "bytes that are no message",
      "malformed",
      status.INVALID_ARGUMENT,
      (agent) => agent.sendBytes(Uint8Array.of(0xff, 0xff, 0xff)),
    ],
    [
      "a truncated Hello",
      "malformed",
      status.INVALID_ARGUMENT,
      (agent) => agent.sendBytes(Uint8Array.of(0x0a, 0x20, 1)),
    ],
    ["an Ack first", "ack-before-hello", status.INVALID_ARGUMENT, (agent) => agent.ack({ revision: 0 })],
    ["Hello twice", "hello-twice", status.INVALID_ARGUMENT, (agent) => agent.hello().hello()],
    ["Hello without a node", "bad-hello", status.INVALID_ARGUMENT, (agent) => agent.hello({ node: "" })],
    ["Hello with a node name of blanks", "bad-hello", status.INVALID_ARGUMENT, (agent) => agent.hello({ node: "a b" })],
    ["Hello with instance 0", "bad-hello", status.INVALID_ARGUMENT, (agent) => agent.hello({ instance: 0n })],
    [
      "an address of 5 bytes",
      "bad-hello",
      status.INVALID_ARGUMENT,
      (agent) => agent.hello({ addresses: { addresses: [new Uint8Array(5)] } }),
    ],
    [
      "a cursor without an epoch",
      "bad-hello",
      status.INVALID_ARGUMENT,
      (agent) => agent.hello({ cursor: { revision: 1n } }),
    ],
    ["a protocol two away", "protocol", status.FAILED_PRECONDITION, (agent) => agent.hello({ protocol: 3 })],
    [
      "an epoch two days ahead",
      "epoch-ahead",
      status.FAILED_PRECONDITION,
      (agent) => agent.hello({ cursor: cursorMessage(cursorOf(Date.now() + 2 * dayMs, 1, 1)) }),
    ],
    [
      "a cursor of the future",
      "cursor-of-future",
      status.INVALID_ARGUMENT,
      (agent, { pipeline: { catalog } }) =>
        agent.hello({
          cursor: cursorMessage({ epoch: catalog.epoch, revision: (catalog.head + 1) as typeof catalog.head }),
        }),
    ],
    [
      "an ack of a revision never sent",
      "ack-of-future",
      status.INVALID_ARGUMENT,
      async (agent) => {
        await agent.hello().untilRevision(1);
        agent.ack({ revision: 2 });
      },
    ],
    [
      "an answer to a heartbeat never sent",
      "bad-ack",
      status.INVALID_ARGUMENT,
      (agent) => agent.hello().ack({ revision: 0, heartbeat: 9n }),
    ],
    [
      "digests that nobody asked for",
      "digests-unasked",
      status.INVALID_ARGUMENT,
      (agent) => agent.hello().send({ case: "digests", value: create(DigestsSchema) }),
    ],
    [
      "a message over the limit",
      "too-large",
      status.RESOURCE_EXHAUSTED,
      (agent) => agent.hello().sendBytes(new Uint8Array(70_000)),
    ],
  ];
  for (const [name, reason, code, breakIt] of broken) {
    test(name, async () => {
      await using running = await started({ limits: { stream: { requestBytesMax: 65_536 } } });
      const good = running.agent("good").hello();
      await good.untilRevision(1);
      const bad = running.agent("bad");
      await breakIt(bad, running);
      const ended = await bad.ended;
      assert.equal(ended.code, code, ended.details);
      assert.ok(ended.details.length > 20, ended.details);
      running.source.give(endpoints("a/b", ["10.1.0.9"]));
      await good.untilRevision(2);
      assertAtHead(good, running);
      await running.until(
        () => running.metric(`weft_fanout_streams_ended_total{reason="${reason}"}`) === 1,
        "the count",
      );
      await running.until(() => running.logged.some((line) => line.includes(`reason=${reason}`)), "the log line");
    });
  }

  test("digests that cannot be end the stream of who gave them", async () => {
    await using running = await started();
    const liar = running.agent("liar", { doesAnswerDigests: false });
    liar.hello({ cursor: cursorMessage(cursorOf(1, 1, 1)), digest: 5n });
    await liar.until(({ arrivals }) => arrivals.some(({ response }) => response.digestQuery), "the question");
    liar.send({ case: "digests", value: create(DigestsSchema, { buckets: [1n, 2n], last: true }) });
    const { code, details } = await liar.ended;
    assert.equal(code, status.INVALID_ARGUMENT);
    assert.match(details, /2 sums of 1024 buckets; update the agent/);
    await running.until(
      () => running.metric('weft_fanout_streams_ended_total{reason="bad-digests"}') === 1,
      "the count",
    );
    await running.agent("good").hello().untilRevision(1);
  });

  test("the message about protocols names both versions and the remedy", async () => {
    await using running = await started();
    const { details } = await running.agent("n1").hello({ protocol: 3, versions: { agent: "9.9.9" } }).ended;
    assert.match(
      details,
      /agent 9\.9\.9 speaks protocol 3, this control plane 1\.2\.3 speaks 1.*upgrade the control plane/,
    );
  });

  test("messages of a later version are passed over", async () => {
    await using running = await started();
    const agent = running.agent("n1");
    // Field 100, a varint.
    agent
      .sendBytes(Uint8Array.of(0xa0, 0x06, 1))
      .hello()
      .sendBytes(Uint8Array.of(0xa0, 0x06, 1));
    await agent.untilRevision(1);
    running.source.give(endpoints("a/b", ["10.1.0.9"]));
    await agent.untilRevision(2);
  });

  test("garbage on the port", async () => {
    await using running = await started();
    const good = running.agent("good").hello();
    await good.untilRevision(1);
    for (const bytes of [
      "\0\x01\x02garbage",
      "GET / HTTP/1.1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, not at all",
    ]) {
      const socket = connect(Number(running.address.split(":")[1]), "127.0.0.1");
      socket.on("error", () => undefined);
      socket.end(bytes);
      await new Promise((resolve) => socket.once("close", resolve).resume());
    }
    running.source.give(endpoints("a/b", ["10.1.0.9"]));
    await good.untilRevision(2);
    await running.until(
      () => running.metric('weft_fanout_connections_refused_total{reason="not-http2"}') === 3,
      "the count",
    );
    assert.ok(running.logged.some((line) => line.includes("not-http2")));
  });
});
