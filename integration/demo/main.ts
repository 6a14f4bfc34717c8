/** `npm run demo`: a cluster on this machine, changes under traffic, and what every node said about them. */
import path from "node:path";
import { parseArgs } from "node:util";
import { findCgroupMount } from "../lab/cgroup.ts";
import { destroyLab } from "../lab/destroy-lab.ts";
import { missingForKernelLab } from "../lab/kernel-support.ts";
import { createLab } from "../lab/lab.ts";
import type { Lab } from "../lab/lab.ts";
import type { TrafficClient } from "../lab/traffic.ts";
import { exchangesPerSecond, firstPods, nodeCount, targets } from "./cast.ts";
import { Screen, count } from "./screen.ts";
import { Stage } from "./stage.ts";
import { story } from "./story.ts";
import { showKept, showSummary } from "./summary.ts";

const labName = "demo";
const manifests = path.join(import.meta.dirname, "../lab/manifests");

const usage = `Usage: npm run demo [-- OPTION…]

Builds a cluster of network namespaces on this machine, changes its services under traffic, and shows what happens.

  --keep     leave the lab up and print how to enter it
  --remove   remove a lab that was kept
  --memory   use the memory dataplane: no root, no BPF, no traffic
  --help     this text
`;

const setUpDetails: Readonly<Record<string, string>> = {
  network: "a namespace for each node; the host keeps its own",
  "control plane": "reads a folder of manifests",
  agents: "one a node, serving",
};

// The processes of a lab that is kept would hold this one.
process.exit(await main());

async function main(): Promise<number> {
  const options = parseOptions();
  if (options === undefined) return 2;
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const isColored = process.stdout.isTTY && (process.env["NO_COLOR"] ?? "") === "";
  const screen = new Screen((text) => process.stdout.write(text), isColored);
  if (options.remove) {
    const removed = await destroyLab(labName);
    screen.say(
      removed.folders === 0
        ? "there was no lab to remove"
        : `removed ${count(removed.namespaces, "namespace")} and all that ran in them`,
    );
    return 0;
  }
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => interrupted.abort(signal));
  // Nobody reads on (`| head`): end as after Ctrl-C.
  process.stdout.on("error", () => interrupted.abort("output closed"));
  try {
    return await demonstrate(screen, options, interrupted.signal);
  } catch (error) {
    screen.blank();
    if (interrupted.signal.aborted) screen.say(`${String(interrupted.signal.reason)}: the lab is removed`);
    else screen.problem(error instanceof Error ? error.message : String(error));
    return 1;
  }
}

type Options = { readonly keep: boolean; readonly remove: boolean; readonly memory: boolean; readonly help: boolean };

function parseOptions(): Options | undefined {
  const flag = { type: "boolean", default: false } as const;
  try {
    return parseArgs({ options: { keep: flag, remove: flag, memory: flag, help: flag } }).values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return undefined;
  }
}

async function demonstrate(screen: Screen, options: Options, signal: AbortSignal): Promise<number> {
  const missing = options.memory ? "asked for with --memory" : missingForKernelLab();
  const dataplane = missing === undefined ? "kernel" : "memory";
  screen.title(
    "Weft",
    dataplane === "kernel"
      ? "3 nodes on this machine, a real kernel, real connections"
      : "3 nodes on this machine, on the memory dataplane",
  );
  if (missing !== undefined) screen.say(`No kernel dataplane here (${missing}): everything but packets is shown.`);

  const beganMs = performance.now();
  screen.chapter("Set-up");
  const lab = await createLab({
    name: labName,
    nodes: nodeCount,
    dataplane,
    manifests,
    onStep: (step, elapsedMs) => screen.done(step, setUpDetails[step] ?? "", elapsedMs),
  });
  let isKept = false;
  try {
    signal.throwIfAborted();
    const clients = dataplane === "kernel" ? await startPodsAndClients(lab, screen) : [];
    const stage = new Stage(lab, screen, clients, signal);
    await expectRevision(stage);
    for (const client of clients) client.send(targets, exchangesPerSecond);
    const setUpMs = performance.now() - beganMs;
    for (const [i, step] of story.entries()) {
      screen.chapter(`${i + 1}  ${step.title}`);
      await step.play(stage);
    }
    await Promise.all(clients.map((client) => client.nextReport()));
    showSummary(stage, setUpMs, performance.now() - beganMs - setUpMs);
    await stage.watch.stop();
    if (options.keep) {
      for (const client of clients) client.send([], 0);
      await lab.keep();
      isKept = true;
      showKept(lab, screen, findCgroupMount());
    }
    return stage.problems.length === 0 ? 0 : 1;
  } finally {
    if (!isKept) await lab.destroy();
  }
}

async function startPodsAndClients(lab: Lab, screen: Screen): Promise<readonly TrafficClient[]> {
  const beganMs = performance.now();
  await lab.startPods(firstPods);
  screen.done("pods", `${firstPods.length}, each listening on TCP and UDP, IPv4 and IPv6`, performance.now() - beganMs);
  const clientsBeganMs = performance.now();
  const clients = await Promise.all(lab.nodes.map((node) => lab.startClient(`client-${node.number}`, node.number)));
  screen.done(
    "clients",
    `one a node, ${exchangesPerSecond} exchanges a second each`,
    performance.now() - clientsBeganMs,
  );
  return clients;
}

// Traffic starts once every node runs what the folder says.
async function expectRevision(stage: Stage): Promise<void> {
  const result = await stage.weft("wait", "--revision", "1");
  if (result.code !== 0)
    throw new Error(`the nodes do not run the first revision: ${result.stdout}${result.stderrTail}`);
  await stage.watch.ready();
}
