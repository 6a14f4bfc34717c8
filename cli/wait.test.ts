import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { once } from "node:events";
import { status } from "@grpc/grpc-js";
import { addressFromBytes, printSocketAddress } from "@weft/proto/address.ts";
import { WaitOutcome, type WaitRequest } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { runWeft, startWeft } from "./run-weft.ts";
import { Refusal, scriptedFleet, type Script } from "./scripted-fleet.ts";

const epoch = { createdMs: 1_763_881_972_000n, random: 0x9f3a12bc };
const getStatus: Script["getStatus"] = () => ({ status: { epoch, revision: 7n } });
const done = { event: { case: "result", value: { outcome: WaitOutcome.DONE, have: 3, need: 3 } } } as const;

const target = (port: number): string[] => ["--controlplane", `127.0.0.1:${port}`, "--insecure"];

describe("what weft wait asks for", () => {
  const cases: readonly { readonly argv: readonly string[]; readonly asks: string }[] = [
    { argv: ["--revision", "42"], asks: "1763881972000:9f3a12bc.42 [] 100% 30000" },
    { argv: ["--revision", "5-0000000a.42", "--timeout", "1m"], asks: "5:a.42 [] 100% 60000" },
    { argv: ["--drained", "10.1.2.3:80", "--quorum", "2"], asks: "none [10.1.2.3:80] 2 30000" },
    {
      argv: ["--drained", "10.1.2.3:80", "[FD00::1]:81", "--quorum=90%"],
      asks: "none [10.1.2.3:80 [fd00::1]:81] 90% 30000",
    },
    {
      argv: ["--drained", "10.1.2.3:80", "--drained", "10.1.2.4:80"],
      asks: "none [10.1.2.3:80 10.1.2.4:80] 100% 30000",
    },
  ];
  for (const { argv, asks } of cases) {
    it(argv.join(" "), async () => {
      const asked: string[] = [];
      using fleet = await scriptedFleet({
        getStatus,
        *wait(request) {
          asked.push(print(request));
          yield done;
        },
      });
      const ended = await runWeft("wait", ...argv, ...target(fleet.port));
      assert.deepEqual(ended, { code: 0, stdout: "done: 3 of 3 nodes\n", stderr: "" });
      assert.deepEqual(asked, [asks]);
    });
  }
});

describe("how weft wait ends", () => {
  const missing = [{ node: "n2", applied: 6n, reason: "disconnected: silent" }];
  const ends = [
    { outcome: WaitOutcome.DONE, word: "done", code: 0, text: "done: 1 of 2 nodes" },
    { outcome: WaitOutcome.TIMEOUT, word: "timeout", code: 3, text: "timed out: 1 of 2 nodes" },
    {
      outcome: WaitOutcome.EPOCH_ENDED,
      word: "epoch-ended",
      code: 1,
      text: "the epoch ended: its revisions are void, ask again: 1 of 2 nodes",
    },
  ];
  for (const { outcome, word, code, text } of ends) {
    it(`${word}: exit ${code}, and the missing nodes with their reasons`, async () => {
      const value = { outcome, have: 1, need: 2, missing, notes: ["a terminating backend may be chosen"] };
      using fleet = await scriptedFleet({ getStatus, wait: () => [{ event: { case: "result", value } }] });
      const argv = ["wait", "--revision", "7", ...target(fleet.port)];
      assert.deepEqual(await runWeft(...argv, "-o", "json"), {
        code,
        stdout:
          `{"outcome":"${word}","have":1,"need":2,"missing":[{"node":"n2","applied":6,"reason":"disconnected: silent"}],` +
          '"notes":["a terminating backend may be chosen"]}\n',
        stderr: "",
      });
      const forPeople = `${text}\n  missing n2 (at revision 6): disconnected: silent\n`;
      assert.deepEqual(await runWeft(...argv), { code, stdout: forPeople, stderr: "" });
    });
  }

  it("timed out with enough nodes: says what it still waited for", async () => {
    const notes = ["no service holds 10.1.2.3:80", "nothing completes in the first 30 s after start"];
    const value = { outcome: WaitOutcome.TIMEOUT, have: 60, need: 60, missing: [], notes };
    using fleet = await scriptedFleet({ getStatus, wait: () => [{ event: { case: "result", value } }] });
    const { code, stdout } = await runWeft("wait", "--revision", "7", ...target(fleet.port));
    const text = "timed out: 60 of 60 nodes\n  not done: nothing completes in the first 30 s after start\n";
    assert.deepEqual({ code, stdout }, { code: 3, stdout: text });
  });

  it("says a note at once, and once", async () => {
    const said = Promise.withResolvers<void>();
    using fleet = await scriptedFleet({
      getStatus,
      async *wait() {
        yield { event: { case: "note", value: "10.1.2.3:80 may still be chosen" } };
        yield { event: { case: "note", value: "10.1.2.3:80 may still be chosen" } };
        await said.promise;
        yield { event: { ...done.event, value: { ...done.event.value, notes: ["10.1.2.3:80 may still be chosen"] } } };
      },
    });
    const weft = startWeft("wait", "--drained", "10.1.2.3:80", "-o", "json", ...target(fleet.port));
    await weft.said("may still be chosen\n");
    said.resolve();
    const { code, stdout, stderr } = await weft.ended;
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "weft: 10.1.2.3:80 may still be chosen\n" });
    assert.match(stdout, /"notes":\["10\.1\.2\.3:80 may still be chosen"\]/);
  });

  it("outlives a control plane that restarts, and asks for the epoch that it began with", async () => {
    const asked: string[] = [];
    const first = await scriptedFleet({
      getStatus,
      async *wait(request, signal) {
        asked.push(print({ ...request, timeoutMs: 0 }));
        yield { event: { case: "note", value: "waiting" } };
        await once(signal, "abort");
      },
    });
    const weft = startWeft("wait", "--revision", "9", ...target(first.port));
    await weft.said("waiting");
    first.kill();
    await weft.said("trying again");
    using second = await scriptedFleet(
      {
        getStatus: () => ({ status: { epoch: { createdMs: 9n, random: 9 }, revision: 1n } }),
        *wait(request) {
          asked.push(print({ ...request, timeoutMs: 0 }));
          assert.ok(request.timeoutMs < 30_000);
          yield done;
        },
      },
      first.port,
    );
    assert.equal(second.port, first.port);
    const { code, stdout } = await weft.ended;
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "done: 3 of 3 nodes\n" });
    assert.deepEqual(asked, Array(2).fill("1763881972000:9f3a12bc.9 [] 100% 0"));
  });

  it("times out when the control plane does not come back", async () => {
    const fleet = await scriptedFleet({
      getStatus,
      async *wait(_, signal) {
        yield { event: { case: "note", value: "waiting" } };
        await once(signal, "abort");
      },
    });
    const weft = startWeft("wait", "--revision", "9", "--timeout", "1500ms", "-o", "json", ...target(fleet.port));
    await weft.said("waiting");
    fleet.kill();
    const { code, stdout } = await weft.ended;
    assert.equal(code, 3);
    const result = JSON.parse(stdout) as { readonly outcome: string; readonly notes: readonly string[] };
    assert.equal(result.outcome, "timeout");
    assert.match(result.notes.at(-1) ?? "", /control plane 127\.0\.0\.1:\d+ is unreachable/);
  });

  it("times out by itself when the control plane falls silent", async () => {
    using fleet = await scriptedFleet({
      getStatus,
      async *wait(_, signal) {
        await once(signal, "abort");
        yield done;
      },
    });
    const argv = ["--revision", "9", "--timeout", "300ms", "-o", "json", ...target(fleet.port)];
    const { code, stdout } = await runWeft("wait", ...argv);
    assert.equal(code, 3);
    assert.match(
      stdout,
      /^\{"outcome":"timeout","have":0,"need":0,"missing":\[\],"notes":\["control plane .* gave no answer in time"\]\}\n$/,
    );
  });

  it("exits with 1 when there is no control plane to begin with, and with 2 for what it refuses", async () => {
    const gone = await scriptedFleet({});
    gone.kill();
    const unreachable = await runWeft("wait", "--revision", "9", ...target(gone.port));
    assert.deepEqual({ code: unreachable.code, stdout: unreachable.stdout }, { code: 1, stdout: "" });
    assert.match(
      unreachable.stderr,
      /^weft: control plane 127\.0\.0\.1:\d+ is unreachable: .*; check --controlplane .*\n$/,
    );
    using fleet = await scriptedFleet({
      getStatus,
      wait() {
        throw new Refusal(status.INVALID_ARGUMENT, "drained: at most 256, not 257");
      },
    });
    const refused = await runWeft("wait", "--revision", "9", ...target(fleet.port));
    assert.deepEqual({ code: refused.code, stdout: refused.stdout }, { code: 2, stdout: "" });
    assert.match(refused.stderr, /refuses the request: drained: at most 256/);
  });

  const wrong = [
    ["--revision", "0"],
    ["--revision", "x"],
    ["--drained", "10.0.0.1"],
    ["--drained", "10.0.0.1:0"],
    [],
    ["--revision", "1", "--drained", "10.0.0.1:1"],
    ["--revision", "1", "--quorum", "0"],
    ["--revision", "1", "--quorum", "101%"],
    ["--revision", "1", "--timeout", "soon"],
  ];
  it("exits with 2 for a command line that asks for nothing it can wait for", async () => {
    for (const argv of wrong) {
      const { code, stdout, stderr } = await runWeft("wait", ...argv, ...target(1));
      assert.deepEqual(
        { code, stdout, lines: stderr.split("\n").length },
        { code: 2, stdout: "", lines: 2 },
        argv.join(" "),
      );
    }
  });
});

function print({
  cursor,
  drained,
  quorum,
  timeoutMs,
}: Pick<WaitRequest, "cursor" | "drained" | "quorum" | "timeoutMs">): string {
  const at =
    cursor === undefined
      ? "none"
      : `${cursor.epoch?.createdMs}:${cursor.epoch?.random.toString(16)}.${cursor.revision}`;
  const backends = drained.map(({ address, port }) => printSocketAddress(addressFromBytes(address), port)).join(" ");
  const { kind } = quorum ?? {};
  return `${at} [${backends}] ${kind?.value}${kind?.case === "percent" ? "%" : ""} ${round(timeoutMs)}`;
}

// What is left of a timeout when the request is sent.
function round(ms: number): number {
  return Math.ceil(ms / 10_000) * 10_000;
}
