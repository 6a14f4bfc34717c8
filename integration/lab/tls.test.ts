/** mTLS from end to end: all programs with certificates of the lab's own. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { runCommand } from "./command.ts";
import type { CommandResult } from "./command.ts";
import { createLab } from "./lab.ts";
import type { Lab } from "./lab.ts";
import { LabProcess, nodeCommand } from "./lab-process.ts";
import type { ProcessPlace } from "./lab-process.ts";

const convergeLimitMs = 20_000;
const refusalLimitMs = 20_000;

interface FleetStatus {
  readonly revision: number;
  readonly nodes: readonly { readonly node: string; readonly connected: boolean; readonly applied: number | null }[];
}

suite("a lab with mTLS", () => {
  let lab: Lab;
  before(async () => {
    lab = await createLab({ name: "tls", nodes: 2, dataplane: "memory", tls: true });
  });
  after(async () => lab.destroy());

  test("agents with certificates of their nodes connect, and an operator sees them converge", async () => {
    await converged();
  });

  test("a certificate of a node is refused for fleet calls", async () => {
    for (const args of [["status"], ["wait", "--revision", "1"], ["get", "services"]]) {
      const result = await weftAs("node-1", args);
      assert.equal(result.code, 1, `${result.line}: ${result.stdout}${result.stderrTail}`);
      assert.equal(result.stdout, "");
      assert.match(result.stderrTail, /node-1/);
      assert.match(result.stderrTail, /certificate|identity|denied/i);
    }
  });

  test("a client without a certificate, or without TLS, is refused", async () => {
    const ca = lab.certificates.nodeFlags("node-1").slice(0, 2);
    for (const security of [ca, ["--insecure"]]) {
      const result = await weft(["status", ...security]);
      assert.equal(result.code, 1, result.stderrTail);
      assert.equal(result.stdout, "");
    }
  });

  test("an agent that names another node than its certificate is refused, says so, and disturbs nobody", async () => {
    const { state, http } = lab.node(1);
    const own: Readonly<Record<string, string>> = {
      "node-1": "node-3",
      [state]: path.join(lab.folder, "impostor-state"),
      [http]: "127.0.0.1:0",
    };
    const flags = lab
      .node(1)
      .agentArguments()
      .map((argument) => own[argument] ?? argument);
    const agent = LabProcess.start("impostor", nodeCommand("nodeagent/main.ts", ...flags), place("impostor"));
    try {
      const limit = performance.now() + refusalLimitMs;
      while (!/node-3/.test(agent.logTail()) || !/node-1/.test(agent.logTail())) {
        assert.ok(performance.now() < limit, `the refusal is not in its log: ${agent.logTail()}`);
        await delay(50);
      }
    } finally {
      await agent.kill();
    }
    const status = await converged();
    assert.deepEqual(
      status.nodes.map(({ node }) => node),
      ["node-1", "node-2"],
    );
  });

  test("all certificates are replaced by another authority's while everything runs", async () => {
    const [, ca = "", , cert = "", , key = ""] = lab.certificates.operatorFlags;
    const old = { cert: `${cert}.old`, key: `${key}.old` };
    fs.copyFileSync(cert, old.cert);
    fs.copyFileSync(key, old.key);
    lab.certificates.make();
    // The control plane that runs shows its new certificate, and accepts those of the new authority only.
    await converged();
    const late = await weft(["status", "--tls-ca", ca, "--tls-cert", old.cert, "--tls-key", old.key]);
    assert.equal(late.code, 1, `${late.stdout}${late.stderrTail}`);

    // Agents that run dial with theirs, and trust the new control plane.
    const agents = lab.nodes.map((node) => node.agent.pid);
    await lab.controlplane.kill();
    await lab.controlplane.start();
    await converged();
    assert.deepEqual(
      lab.nodes.map((node) => node.agent.pid),
      agents,
    );
  });

  function place(name: string): ProcessPlace {
    return { registry: path.join(lab.folder, "processes"), logFile: path.join(lab.logs, `${name}.log`) };
  }

  async function weft(args: readonly string[]): Promise<CommandResult> {
    const command = nodeCommand("cli/main.ts", ...args, "--controlplane", lab.controlplane.address);
    return runCommand(`weft ${args.join(" ")}`, command, place("weft-as"));
  }

  async function weftAs(node: string, args: readonly string[]): Promise<CommandResult> {
    return weft([...args, ...lab.certificates.nodeFlags(node)]);
  }

  // Until an operator is answered, and all nodes are connected and run the newest revision.
  async function converged(): Promise<FleetStatus> {
    const limit = performance.now() + convergeLimitMs;
    for (;;) {
      const result = await lab.weft(["status", "-o", "json"]);
      const status = result.code === 0 ? (JSON.parse(result.stdout) as FleetStatus) : undefined;
      const isDone = status?.nodes.every(({ connected, applied }) => connected && applied === status.revision);
      if (status !== undefined && isDone === true && status.nodes.length === lab.nodes.length) return status;
      assert.ok(performance.now() < limit, `not converged: ${result.stdout}${result.stderrTail}`);
      await delay(100);
    }
  }
});
