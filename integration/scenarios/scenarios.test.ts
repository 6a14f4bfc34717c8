import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { readScenarios } from "./read-scenarios.ts";
import { ScenarioCluster } from "./scenario-cluster.ts";
import { needsKernel, parseScenario } from "./scenario.ts";

// Frontends only; scenarios.kernel.test.ts makes the connections too.
suite("scenarios on the memory dataplane", () => {
  let cluster: ScenarioCluster;
  before(async () => {
    cluster = await ScenarioCluster.create("scenmem", "memory");
  });
  after(async () => cluster[Symbol.asyncDispose]());

  for (const { file, scenario } of readScenarios().filter((read) => !needsKernel(read.scenario))) {
    test(`${file}: ${scenario.title}`, async () => cluster.run(scenario));
  }
});

suite("the text form of a scenario", () => {
  const step = "# t\n## s\n";
  const block = (opening: string, ...lines: readonly string[]): string =>
    [`${step}\`\`\`${opening}`, ...lines, "```", ""].join("\n");
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ["no step", "# t\n", /a title \(#\) and steps/],
    ["a block before the first step", "# t\n```log\n```\n", /line 2: a block before the first step/],
    ["an open block", `${step}\`\`\`log\n`, /line 3: the block is not closed/],
    ["an unknown block", block("frontend node-1"), /line 3: no such block: "frontend"/],
    ["a check without a node", block("frontends"), /line 3: frontends needs a node/],
    ["an edit without a file", block("yaml"), /line 3: yaml needs a file name/],
    ["a step that checks nothing", block("yaml a.yaml"), /step "s" checks nothing/],
    ["a step that only waits", block("pause 10 ms"), /step "s" checks nothing/],
    ["a long pause", block("pause 9000 ms"), /line 3: pause needs a time such as 1500 ms/],
    ["lines where there are none", block("restart node-1", "now"), /line 3: restart has no lines/],
    ["agents after the first step", block("agents", "--a=b"), /line 3: no such block: "agents"/],
    ["flags in two words", "# t\n```agents\n--a b\n```\n## s\n", /line 2: agents has lines such as/],
    ["an unknown place", block("connect node-1 cellar"), /line 3: connect needs a node, and maybe a place/],
    ["a socket that stays nowhere", block("open node-1"), /line 3: open needs a place/],
    ["a connection that is not one", block("connect node-1", "tcp 1.2.3.4 -> a1:1"), /line 4: not "TRANSPORT/],
    ["an empty range of ports", block("connect node-1", "tcp 1.2.3.4:9-8 -> a1:1"), /line 4: the range of ports is/],
    ["a source that is none", block("connect node-1", "tcp 1.2.3.4:9 from x -> a1:1"), /line 4: not an address: x/],
    [
      "an outcome that is none",
      block("connect node-1", "tcp 1.2.3.4:9 -> refused"),
      /line 4: not an outcome: "refused"/,
    ],
    [
      "an error beside an answer",
      block("connect node-1", "tcp 1.2.3.4:9 -> EPERM a1:1"),
      /line 4: an error is expected/,
    ],
    ["two outcomes of one use", block("use", "x -> a1:1 a2:1"), /line 4: one outcome is expected/],
    ["a bind that answers", block("bind node-1 host", "tcp 0.0.0.0:9 -> a1:1"), /line 4: not "tcp\|udp ADDRESS:PORT/],
  ];
  for (const [what, text, error] of refused) {
    test(`refuses ${what}`, () => assert.throws(() => parseScenario(text), error));
  }
});
