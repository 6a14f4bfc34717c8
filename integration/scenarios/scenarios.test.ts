import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { readScenarios } from "./read-scenarios.ts";
import { ScenarioCluster } from "./scenario-cluster.ts";
import { parseScenario } from "./scenario.ts";

// Frontends only; scenarios.kernel.test.ts makes the connections too.
suite("scenarios on the memory dataplane", () => {
  let cluster: ScenarioCluster;
  before(async () => {
    cluster = await ScenarioCluster.create("scenmem", "memory");
  });
  after(async () => cluster[Symbol.asyncDispose]());

  for (const { file, scenario } of readScenarios()) {
    test(`${file}: ${scenario.title}`, async () => cluster.run(scenario));
  }
});

suite("the text form of a scenario", () => {
  const step = "# t\n## s\n";
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ["no step", "# t\n", /a title \(#\) and steps/],
    ["a block before the first step", "# t\n```log\n```\n", /line 2: a block before the first step/],
    ["an open block", `${step}\`\`\`log\n`, /line 3: the block is not closed/],
    ["an unknown block", `${step}\`\`\`frontend node-1\n\`\`\`\n`, /line 3: no such block: "frontend"/],
    ["a check without a node", `${step}\`\`\`frontends\n\`\`\`\n`, /line 3: frontends needs a node/],
    ["an edit without a file", `${step}\`\`\`yaml\n\`\`\`\n`, /line 3: yaml needs a file name/],
    ["a step that checks nothing", `${step}\`\`\`yaml a.yaml\n\`\`\`\n`, /step "s" checks nothing/],
    [
      "a connection that is not one",
      `${step}\`\`\`connect node-1\ntcp 1.2.3.4 -> a1\n\`\`\`\n`,
      /line 4: not "TRANSPORT/,
    ],
  ];
  for (const [what, text, error] of refused) {
    test(`refuses ${what}`, () => assert.throws(() => parseScenario(text), error));
  }
});
