/** The end of the demo: what was seen, and what to try next. */
import path from "node:path";
import { controlAddresses } from "../lab/address-plan.ts";
import type { Lab } from "../lab/lab.ts";
import { cgroupName, namespaceName, namespacePath } from "../lab/lab-paths.ts";
import { count, milliseconds, seconds } from "./screen.ts";
import type { Screen } from "./screen.ts";
import type { Stage } from "./stage.ts";

export function showSummary(stage: Stage, setUpMs: number, storyMs: number): void {
  const { screen, clients, revisions, lab } = stage;
  for (const late of stage.lateAnswers()) stage.problems.push(late);
  const made = clients.reduce((sum, { total }) => sum + total.made, 0);
  const failed = clients.reduce((sum, { total }) => sum + total.failed, 0);
  for (const { total } of clients) {
    for (const [error, times] of total.errors) stage.problems.push(`${error} (${times} times)`);
  }

  screen.chapter("Summary");
  const deltas = revisions.filter(({ commit }) => commit.revision > 1);
  const bytes = deltas.reduce((sum, { commit }) => sum + commit.bytes, 0);
  screen.fact(
    "revisions",
    `${revisions.length}; ${count(deltas.length, "delta")} of ${count(bytes, "byte")} in all to each node`,
  );
  screen.fact("live", `${received(stage)} from received to active on ${lab.nodes.length} nodes`);
  if (stage.hasTraffic) {
    const verdict = failed === 0 ? screen.green("0 failed") : screen.red(`${failed} failed`);
    screen.fact("exchanges", `${count(made, "made", "made")} over TCP and UDP, IPv4 and IPv6; ${verdict}`);
    screen.fact("stopped pods", `${stage.drainedAtMs.size}; none answered after it was drained`);
  }
  screen.fact("time", `${seconds(setUpMs)} set-up, ${seconds(storyMs)} demo`);
  for (const problem of stage.problems) screen.problem(problem);

  screen.chapter("Next");
  screen.say(`npm run demo -- --keep   ${screen.dim("leave the cluster up, and enter it")}`);
  screen.say(`npm test                 ${screen.dim("everything that can be tested on this machine")}`);
  screen.say(`ARCHITECTURE.md          ${screen.dim("one page: how a change travels, and where the code is")}`);
  screen.blank();
}

/** How to enter a lab that was kept. */
export function showKept(lab: Lab, screen: Screen, cgroupMount: string | undefined): void {
  screen.chapter("The lab is still up");
  const weft = `cli/bin/weft status --watch --controlplane ${lab.controlplane.address} --insecure`;
  if (cgroupMount === undefined || lab.dataplane === "memory") {
    screen.fact("status", weft);
    screen.fact("a node's maps", `nodeagent/bin/weft-agent dump --http ${lab.node(1).http}`);
  } else {
    const node = lab.node(1);
    const inControl = `nsenter --net=${namespacePath(namespaceName(lab.name, "control"))}`;
    const procs = path.join(cgroupMount, cgroupName(lab.name), node.name, "cgroup.procs");
    const shell = `nsenter --net=${namespacePath(namespaceName(lab.name, "pod-web-1"))} bash`;
    screen.fact("status", `${inControl} \\`);
    screen.fact("", weft);
    screen.fact("a pod's shell", `sh -c 'echo $$ > ${procs}; exec ${shell}'`);
    screen.fact("  then in it", "exec 3<>/dev/tcp/10.96.0.10/80 && cat <&3");
    screen.fact("a node's maps", `nodeagent/bin/weft-agent dump --bpffs ${node.bpffs}`);
    screen.fact("metrics", `${inControl} curl -s http://${controlAddresses.v4}:7071/metrics`);
  }
  screen.fact("change it", `edit ${path.join(lab.manifests.folder, "web.yaml")}`);
  screen.fact("logs", lab.logs);
  screen.fact("remove it", "npm run demo -- --remove");
  screen.blank();
}

function received(stage: Stage): string {
  const times = stage.revisions
    .flatMap(({ acks }) => [...acks.values()])
    .flatMap(({ receivedToActiveUs }) => (receivedToActiveUs === null ? [] : [receivedToActiveUs]))
    .toSorted((a, b) => a - b);
  const [middle, last] = [times[Math.floor(times.length / 2)], times.at(-1)];
  return middle === undefined || last === undefined
    ? "no times"
    : `p50 ${milliseconds(middle)}, at most ${milliseconds(last)}`;
}
