/**
 * Random clusters under churn and kills: after every change, what packets can hit is what a plan from nothing says. A seed
 * that failed is replayed with WEFT_TEST_SEED; WEFT_TEST_ROUNDS makes it longer.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { findCgroupMount, killCgroup, removeCgroup } from "../lab/cgroup.ts";
import { runCommand } from "../lab/command.ts";
import { missingForKernelLab } from "../lab/kernel-support.ts";
import { LabProcess, nodeCommand } from "../lab/lab-process.ts";
import type { ProcessPlace } from "../lab/lab-process.ts";
import { nodeAddresses, nodeNames, nodeObjects, seededRandom, serviceObjects } from "./random-cluster.ts";
import type { ApiObject } from "./random-cluster.ts";

const skip = missingForKernelLab() ?? false;
const seed = Number(process.env["WEFT_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["WEFT_TEST_ROUNDS"] ?? 10);
const servicesMax = 24;
/** A node that has not converged by then never will. */
const convergeLimitMs = 20_000;
const readyLimitMs = 20_000;
/** The agent that programs the kernel; the others hold their plan in memory. */
const kernelNode = nodeNames[0];

suite(`random clusters, seed ${seed}`, { skip }, () => {
  const random = seededRandom(seed);
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "weft-random-"));
  const folders = Object.fromEntries(
    ["manifests", "bpffs", "log", "registry"].map((name) => [name, path.join(root, name)]),
  );
  const folder = (name: string): string => folders[name] ?? assert.fail(name);
  const cgroup = path.join(findCgroupMount() ?? "", path.basename(root));
  const running = new Map<string, LabProcess>();
  const httpOf = new Map<string, string>();
  const place = (name: string): ProcessPlace => ({
    registry: folder("registry"),
    logFile: path.join(folder("log"), `${name}.log`),
  });
  let grpc = "127.0.0.1:0";

  before(async () => {
    for (const made of Object.values(folders)) fs.mkdirSync(made);
    fs.mkdirSync(cgroup);
    execFileSync("mount", ["-t", "bpf", "bpf", folder("bpffs")]);
    write("nodes", nodeObjects());
    await startControlPlane();
    for (const node of nodeNames) await startAgent(node);
  });

  after(async () => {
    await Promise.all([...running.values()].map((program) => program.kill()));
    await killCgroup(cgroup);
    removeCgroup(cgroup);
    if (fs.existsSync(folder("bpffs"))) execFileSync("umount", [folder("bpffs")]);
    fs.rmSync(root, { recursive: true, force: true });
  });

  for (let round = 1; round <= rounds; round++) {
    test(`round ${round}: every node holds what a plan from nothing says`, async () => {
      const edits = 1 + random.int(6);
      for (let i = 0; i < edits; i++) editOne();
      if (random.chance(0.3)) await restart("controlplane");
      if (random.chance(0.3)) await restart(random.pick(nodeNames));
      for (let i = 0; i < edits; i++) editOne();
      for (const node of nodeNames) await converged(node);
    });
  }

  function editOne(): void {
    const index = random.int(servicesMax);
    if (random.chance(0.2)) fs.rmSync(path.join(folder("manifests"), `svc-${index}.json`), { force: true });
    else write(`svc-${index}`, serviceObjects(random, index));
  }

  // As an editor saves: whole, by rename.
  function write(name: string, items: readonly ApiObject[]): void {
    const file = path.join(folder("manifests"), `${name}.json`);
    fs.writeFileSync(`${file}.tmp`, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    fs.renameSync(`${file}.tmp`, file);
  }

  async function restart(name: string): Promise<void> {
    await running.get(name)?.kill();
    await (name === "controlplane" ? startControlPlane() : startAgent(name));
  }

  async function startControlPlane(): Promise<void> {
    const program = LabProcess.start(
      "controlplane",
      nodeCommand(
        "controlplane/main.ts",
        "--manifests",
        folder("manifests"),
        "--listen",
        grpc,
        "--http",
        "127.0.0.1:0",
        "--insecure",
      ),
      place("controlplane"),
    );
    running.set("controlplane", program);
    grpc = (await program.lineMatching(/^ready grpc=(\S+) /, readyLimitMs))[1] ?? assert.fail();
  }

  async function startAgent(node: string): Promise<void> {
    const state = path.join(root, `state-${node}`);
    const to = ["--controlplane", grpc, "--insecure", "--http", "127.0.0.1:0"];
    const into = node === kernelNode ? ["kernel", "--bpffs", folder("bpffs"), "--cgroup", cgroup] : ["memory"];
    const at = ["--node-addresses", nodeAddresses(node).join(",")];
    const run = ["run", "--node", node, "--state", state, ...to, ...at, "--dataplane", ...into];
    const program = LabProcess.start(node, nodeCommand("nodeagent/main.ts", ...run), place(node));
    running.set(node, program);
    httpOf.set(node, (await program.lineMatching(/^ready node=\S+ http=(\S+)$/, readyLimitMs))[1] ?? assert.fail());
  }

  async function converged(node: string): Promise<void> {
    const plan = await output(node, "cli/main.ts", "plan", "--manifests", folder("manifests"), "--node", node);
    const expected = plan.filter((line) => node !== kernelNode || isServedByKernel(line));
    const from = node === kernelNode ? ["--bpffs", folder("bpffs")] : ["--http", httpOf.get(node) ?? ""];
    const limit = performance.now() + convergeLimitMs;
    for (;;) {
      const dump = await output(node, "nodeagent/main.ts", "dump", ...from);
      if (dump.join("\n") === expected.join("\n")) return;
      if (performance.now() > limit) assert.deepEqual(dump, expected, `${node}, seed ${seed}`);
      await delay(100);
    }
  }

  // Lines of stdout. A refusal (exit code 2) is fine: the rest is answered.
  async function output(name: string, file: string, ...args: readonly string[]): Promise<readonly string[]> {
    const result = await runCommand(args.join(" "), nodeCommand(file, ...args), place(`${name}-commands`));
    assert.ok(result.code === 0 || result.code === 2, `${result.line}: exit code ${result.code}\n${result.stderrTail}`);
    return result.stdout.split("\n").filter((line) => line !== "");
  }
});

function isServedByKernel(line: string): boolean {
  const { scope, protocol } = JSON.parse(line) as { scope: string; protocol: string };
  return scope === "internal" && protocol !== "SCTP";
}
