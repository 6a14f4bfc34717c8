import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import type { GetTraceRequest, GetTraceResponseSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { runWeft } from "./run-weft.ts";
import { Refusal, scriptedFleet } from "./scripted-fleet.ts";

const target = (port: number): string[] => ["--controlplane", `127.0.0.1:${port}`, "--insecure"];
const epoch = { createdMs: 1_763_881_972_000n, random: 0x9f3a12bc };
const committedAtUs = 1_763_881_980_000_000n;
const durations = { receivedToActiveUs: 2_000, planUs: 500, stageUs: 900, persistUs: 100 };
const trace: MessageInitShape<typeof GetTraceResponseSchema> = {
  epoch,
  commit: { revision: 42n, puts: 2, removals: 1, bytes: 212n, committedAtUs, services: ["shop/db", "shop/web"] },
  noticedAtUs: committedAtUs - 4_000n,
  compileStartedAtUs: committedAtUs - 2_000n,
  compiledAtUs: committedAtUs - 1_000n,
  sentAtUs: committedAtUs + 1_000n,
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  connected: 3,
  acked: 2,
  convergence: [{ revision: 42n, percent: 50, elapsedUs: 8_000n, nodes: 3 }],
  firstAckUs: 4_000n,
  lastAckUs: 8_000n,
  nodes: [
    { node: "n2", commitToAckUs: 8_000n, revision: 43n, durations },
    { node: "n1", commitToAckUs: 4_000n, revision: 42n, durations, failuresTotal: 1 },
    { node: "n9", commitToAckUs: 900_000n, revision: 42n, cameLater: true },
  ],
  missing: [{ node: "n3", applied: 41n, reason: "applied 41 of 42" }],
  missingTotal: 2,
};

describe("weft trace", () => {
  it("prints the steps, the slowest nodes as a waterfall, and who is missing", async () => {
    using fleet = await scriptedFleet({ getTrace: () => trace });
    const { code, stdout, stderr } = await runWeft("trace", "42", ...target(fleet.port));
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.deepEqual(stdout.split("\n"), [
      "revision 42  epoch 1763881972000-9f3a12bc  committed 2025-11-23T07:13:00.000Z",
      "2 put, 1 removed, 212 bytes: shop/db, shop/web",
      "trace 4bf92f3577b34da6a3ce929d0e0e4736",
      "2 of the 3 nodes that were connected have acked it: first 4.0 ms, 50 % 8.0 ms",
      "",
      "STEP     FROM     TOOK",
      "event    -4.0 ms  2.0 ms  |#######                                 |",
      "compile  -2.0 ms  1.0 ms  |       ###                              |",
      "commit   -1.0 ms  1.0 ms  |          ###                           |",
      "fan-out  0 us     1.0 ms  |             ####                       |",
      "acks     4.0 ms   4.0 ms  |                           #############|",
      "",
      "NODE  ACKED     ON THE WAY  ON THE NODE  PLAN    STAGE   PERSIST  REVISION",
      "n2    8.0 ms    6.0 ms      2.0 ms       500 us  900 us  100 us   43        |             --------------------#######|",
      "n1    4.0 ms    2.0 ms      2.0 ms       500 us  900 us  100 us   42        |             -------#######             |",
      "n9    900.0 ms  900.0 ms    0 us         0 us    0 us    0 us     42        |             --------------------------#| came later",
      "missing n3 (at revision 41): applied 41 of 42",
      "missing: and 1 more",
      "",
    ]);
  });

  it("prints one object with -o json", async () => {
    using fleet = await scriptedFleet({ getTrace: () => trace });
    const { stdout } = await runWeft("trace", "42", "-o", "json", ...target(fleet.port));
    assert.deepEqual(JSON.parse(stdout), {
      epoch: "1763881972000-9f3a12bc",
      revision: 42,
      traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
      committedAt: "2025-11-23T07:13:00.000Z",
      puts: 2,
      removals: 1,
      bytes: 212,
      services: ["shop/db", "shop/web"],
      steps: [
        { name: "event", fromUs: -4_000, tookUs: 2_000 },
        { name: "compile", fromUs: -2_000, tookUs: 1_000 },
        { name: "commit", fromUs: -1_000, tookUs: 1_000 },
        { name: "fan-out", fromUs: 0, tookUs: 1_000 },
        { name: "acks", fromUs: 4_000, tookUs: 4_000 },
      ],
      connected: 3,
      acked: 2,
      convergence: [{ percent: 50, elapsedUs: 8_000 }],
      nodes: [
        { node: "n2", commitToAckUs: 8_000, revision: 43, ...durations, failures: 0, cameLater: false },
        { node: "n1", commitToAckUs: 4_000, revision: 42, ...durations, failures: 1, cameLater: false },
        {
          node: "n9",
          commitToAckUs: 900_000,
          revision: 42,
          receivedToActiveUs: 0,
          planUs: 0,
          stageUs: 0,
          persistUs: 0,
          failures: 0,
          cameLater: true,
        },
      ],
      missing: [{ node: "n3", applied: 41, reason: "applied 41 of 42" }],
      missingTotal: 2,
    });
  });

  it("prints a revision that nobody acked and that is not sampled", async () => {
    const alone = { ...trace, traceId: "", sentAtUs: 0n, acked: 0, connected: 0, convergence: [], nodes: [] };
    using fleet = await scriptedFleet({ getTrace: () => ({ ...alone, missing: [], missingTotal: 0 }) });
    const { stdout } = await runWeft("trace", ...target(fleet.port));
    assert.deepEqual(stdout.split("\n").slice(2), [
      "0 of the 0 nodes that were connected have acked it",
      "",
      "STEP     FROM     TOOK",
      "event    -4.0 ms  2.0 ms  |####################                    |",
      "compile  -2.0 ms  1.0 ms  |                    ##########          |",
      "commit   -1.0 ms  1.0 ms  |                              ##########|",
      "",
    ]);
    const json = JSON.parse((await runWeft("trace", "-o", "json", ...target(fleet.port))).stdout) as {
      traceId: unknown;
    };
    assert.equal(json.traceId, null);
  });

  const asks: readonly (readonly [argv: readonly string[], asked: string])[] = [
    [[], "newest, 10 slowest, nodes "],
    [["42"], "any.42, 10 slowest, nodes "],
    [["--revision", "42"], "any.42, 10 slowest, nodes "],
    [["--slowest=3", "5-0000000a.42", "--node", "n1,n2", "--node", "n3"], "5-10.42, 3 slowest, nodes n1 n2 n3"],
  ];
  for (const [argv, asked] of asks) {
    it(`asks for what it is told: ${argv.join(" ")}`, async () => {
      const seen: GetTraceRequest[] = [];
      using fleet = await scriptedFleet({
        getTrace: (request) => {
          seen.push(request);
          return trace;
        },
      });
      assert.equal((await runWeft("trace", ...argv, ...target(fleet.port))).code, 0);
      const printed = seen.map(({ cursor, slowest, nodes }) => {
        const of = cursor?.epoch === undefined ? "any" : `${cursor.epoch.createdMs}-${cursor.epoch.random}`;
        const at = cursor === undefined ? "newest" : `${of}.${cursor.revision}`;
        return `${at}, ${slowest} slowest, nodes ${nodes.join(" ")}`;
      });
      assert.deepEqual(printed, [asked]);
    });
  }

  const refusals = [
    [status.NOT_FOUND, "revision 7 is not remembered; these are: 12 to 90", 1, ""],
    [status.NOT_FOUND, 'node "x": no agent connected with this name', 1, "; weft status lists the nodes that it knows"],
    [status.FAILED_PRECONDITION, "epoch 1-00000000 is not, or no longer, the current one, 2-00000000", 1, ""],
  ] as const;
  for (const [code, details, exit, remedy] of refusals) {
    it(`exits with ${exit} and says why: ${details}`, async () => {
      using fleet = await scriptedFleet({
        getTrace: () => {
          throw new Refusal(code, details);
        },
      });
      const ended = await runWeft("trace", "7", ...target(fleet.port));
      const stderr = `weft: control plane 127.0.0.1:${fleet.port}: ${details}${remedy}\n`;
      assert.deepEqual(ended, { code: exit, stdout: "", stderr });
    });
  }

  it("exits with 2 for two revisions, or what is none", async () => {
    for (const argv of [["42", "43"], ["x"], ["42", "--revision", "43"]]) {
      assert.equal((await runWeft("trace", ...argv, ...target(1))).code, 2, argv.join(" "));
    }
  });
});

describe("weft status of a control plane that counts", () => {
  const counts = { current: 7, behind: 1, failing: 1, disconnected: 2 };
  const laggards = [{ node: "n3", applied: 5n, reason: "disconnected 5 s ago" }];
  const state = { epoch, revision: 7n, synced: true, counts, laggards, laggardsTotal: 4 };
  const lines = [
    "epoch 1763881972000-9f3a12bc  revision 7",
    "nodes 11: 7 current, 1 behind, 1 failing, 2 disconnected",
  ];
  const lags = ["lags: n3 (at revision 5): disconnected 5 s ago", "lags: and 3 more", ""];

  it("says how many nodes are how, and names laggards with reasons", async () => {
    using fleet = await scriptedFleet({
      getStatus: ({ withoutNodes }) => ({ status: withoutNodes ? {} : { ...state, nodes: [{ node: "n3" }] } }),
    });
    const { stdout } = await runWeft("status", ...target(fleet.port));
    assert.deepEqual(stdout.split("\n").slice(0, 2), lines);
    assert.deepEqual(stdout.split("\n").slice(-3), lags);
  });

  it("prints nothing else with --laggards, and asks for nothing else", async () => {
    using fleet = await scriptedFleet({ getStatus: ({ withoutNodes }) => ({ status: withoutNodes ? state : {} }) });
    const { stdout } = await runWeft("status", "--laggards", ...target(fleet.port));
    assert.deepEqual(stdout.split("\n"), [...lines, ...lags]);
    const asJson = await runWeft("status", "--laggards", "-o", "json", ...target(fleet.port));
    assert.deepEqual(JSON.parse(asJson.stdout), {
      epoch: "1763881972000-9f3a12bc",
      revision: 7,
      counts,
      laggards: [{ node: "n3", applied: 5, reason: "disconnected 5 s ago" }],
      laggardsTotal: 4,
    });
  });

  it("says so if the control plane does not count", async () => {
    using fleet = await scriptedFleet({ getStatus: () => ({ status: { epoch, revision: 7n } }) });
    const { code, stderr } = await runWeft("status", "--laggards", ...target(fleet.port));
    assert.equal(code, 1);
    assert.match(stderr, /the control plane is older and does not count nodes/);
  });
});
