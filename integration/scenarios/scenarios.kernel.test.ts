import { after, before, suite, test } from "node:test";
import { missingForKernelLab } from "../lab/kernel-support.ts";
import { readScenarios } from "./read-scenarios.ts";
import { ScenarioCluster } from "./scenario-cluster.ts";

const skip = missingForKernelLab() ?? false;

suite("scenarios on the kernel, with connections", { skip }, () => {
  let cluster: ScenarioCluster;
  before(async () => {
    cluster = await ScenarioCluster.create("scenarios", "kernel");
  });
  after(async () => cluster[Symbol.asyncDispose]());

  for (const { file, scenario } of readScenarios()) {
    test(`${file}: ${scenario.title}`, async () => cluster.run(scenario));
  }
});
