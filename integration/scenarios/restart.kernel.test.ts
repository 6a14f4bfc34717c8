/**
 * The control plane and agents are killed at random moments under traffic. Moments come from a seed, which is printed;
 * WEFT_TEST_SEED replays one, WEFT_TEST_ROUNDS makes it longer.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { nodeAddresses } from "../lab/address-plan.ts";
import type { ClientTarget } from "../lab/client-messages.ts";
import type { EndpointSpec, ServiceSpec } from "../lab/cluster-manifests.ts";
import { expectSuccess } from "../lab/command.ts";
import { missingForKernelLab } from "../lab/kernel-support.ts";
import { createLab } from "../lab/lab.ts";
import type { Lab } from "../lab/lab.ts";
import type { LabNode } from "../lab/lab-node.ts";
import type { TrafficClient } from "../lab/traffic.ts";
import { Generations, generationPorts, generationTargets } from "./generations.ts";
import { seededRandom } from "./random-cluster.ts";

const skip = missingForKernelLab() ?? false;
const seed = Number(process.env["WEFT_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["WEFT_TEST_ROUNDS"] ?? 8);
/** Several at each tick of the client: only what follows closely on an answer can be seen to be older. */
const exchangesPerSecond = 500;
const webIp = "10.96.0.10";
const webPort = 8080;
const webNodePort = 30_080;
const echoIp = "10.96.0.30";
const echoPort = 8081;

suite(`restarts under traffic, seed ${seed}`, { skip }, () => {
  const random = seededRandom(seed);
  let lab: Lab;
  let generations: Generations;
  let clients: TrafficClient[] = [];

  before(async () => {
    lab = await createLab({ name: "restart", nodes: 2, dataplane: "kernel" });
    await lab.startPods([
      { name: "gen-a", node: 1, ports: generationPorts },
      { name: "gen-b", node: 2, ports: generationPorts },
      { name: "web-0", node: 1, ports: String(webPort) },
      { name: "web-1", node: 2, ports: String(webPort) },
      { name: "echo", node: 2, ports: "", echoPorts: String(echoPort) },
    ]);
    generations = new Generations(lab);
    generations.write();
    lab.manifests.writeServices("web.yaml", [service("web", webIp, webPort, ["web-0", "web-1"], webNodePort)]);
    lab.manifests.writeServices("echo.yaml", [service("echo", echoIp, echoPort, ["echo"])]);
    generations.next();
    await generations.settle();
    clients = await Promise.all(lab.nodes.map((node) => lab.startClient(`client-${node.number}`, node.number)));
    const web: ClientTarget = { name: "web", transport: "tcp", address: webIp, port: 80 };
    for (const [i, client] of clients.entries()) {
      const nodePort: ClientTarget = {
        ...web,
        name: "web node port",
        address: nodeAddresses(i + 1).v4,
        port: webNodePort,
      };
      client.send([...generationTargets, web, nodePort], exchangesPerSecond);
    }
  });
  after(async () => lab.destroy());

  test("a connection stays whatever is killed, and when its backend leaves", async () => {
    const [client] = clients;
    assert.ok(client !== undefined);
    const { id, outcome } = await client.hold({ name: "echo", transport: "tcp", address: echoIp, port: 80 });
    assert.equal(outcome, `echo ${echoPort}`);
    await lab.node(1).agent.kill();
    assert.equal(await client.use(id), "still there?");
    await lab.node(1).startAgent();
    lab.manifests.changeEndpoints("echo.yaml", "default/echo", { remove: ["echo"] });
    expectSuccess(await lab.weft(["wait", "--drained", `${lab.pod("echo").addresses.v4}:${echoPort}`]));
    assert.equal(await client.use(id), "still there?");
    expectNothingWrong();
  });

  for (let round = 0; round < rounds; round++) {
    const victim =
      (["control plane", "agent of node-1", "agent of node-2"] as const)[(seed + round) % 3] ?? "control plane";
    test(`round ${round + 1}: kill of the ${victim} amid changes`, async () => {
      const joining = `web-${round + 2}`;
      await lab.startPods([{ name: joining, node: 1 + (round % 2), ports: String(webPort) }]);
      const edits = 4 + random.int(8);
      const killAt = random.int(edits);
      const back: Promise<void>[] = [];
      for (let edit = 0; edit < edits; edit++) {
        generations.next();
        if (edit === killAt) back.push(killAndRestart(victim, random.int(60), random.int(300)));
        await delay(random.int(80));
      }
      await Promise.all(back);
      lab.manifests.changeEndpoints("web.yaml", "default/web", { remove: [`web-${round}`], add: [endpoint(joining)] });
      await generations.settle();
      await stopDrained(`web-${round}`);
      for (const node of lab.nodes) await expectDumpIsPlan(node);
      await Promise.all(clients.map((client) => client.nextReport()));
      expectNothingWrong();
    });
  }

  test("a rolling restart of the control plane: agents are told to leave, come back, and no connection fails", async () => {
    for (let round = 0; round < 3; round++) {
      generations.next();
      const { code } = await lab.controlplane.stop();
      assert.equal(code, 0);
      generations.next();
      await delay(random.int(300));
      await lab.controlplane.start();
      generations.next();
      await generations.settle();
    }
    for (const node of lab.nodes) {
      assert.match(node.agent.logTail(), /the control plane asked to leave: the control plane shuts down/);
      await expectDumpIsPlan(node);
    }
    await Promise.all(clients.map((client) => client.nextReport()));
    expectNothingWrong();
  });

  test("damaged state on disk is said, and replaced", async () => {
    const node = lab.node(1);
    await node.agent.kill();
    for (const name of fs.readdirSync(node.state)) {
      const file = path.join(node.state, name);
      if (fs.statSync(file).isFile()) fs.writeFileSync(file, "not what an agent wrote");
    }
    await node.startAgent();
    assert.match(node.agent.logTail(), /damaged|corrupt|ignored/);
    generations.next();
    await generations.settle();
    await expectDumpIsPlan(node);
    expectNothingWrong();
  });

  test("a second agent on the same bpffs, and a cleanup beside an agent, are refused by name of the pid", async () => {
    const node = lab.node(1);
    const state = path.join(lab.folder, "second-state");
    const second = await node.runAgent(
      ...node.agentArguments().map((argument) => (argument === node.state ? state : argument)),
    );
    assert.equal(second.code, 1, second.stderrTail);
    assert.match(second.stderrTail, new RegExp(`\\b${node.agent.pid}\\b`));
    const cleanup = await node.runAgent("cleanup", "--bpffs", node.bpffs, "--cgroup", node.cgroup ?? "");
    assert.equal(cleanup.code, 1, cleanup.stderrTail);
    assert.match(cleanup.stderrTail, new RegExp(`\\b${node.agent.pid}\\b`));
    expectNothingWrong();
  });

  test("cleanup leaves no pin and no service; an agent then serves from its disk without a control plane", async () => {
    const node = lab.node(1);
    const [client] = clients;
    assert.ok(client !== undefined);
    client.send([], 0);
    const web: ClientTarget = { name: "web", transport: "tcp", address: webIp, port: 80 };
    const served = await client.probe(web, 3);
    assert.ok(isAnswered(served), served.join());

    await lab.controlplane.kill();
    await node.agent.stop();
    const kept = await client.probe(web, 3);
    assert.ok(isAnswered(kept), kept.join());
    const host = await lab.startHostClient(node.number);
    assert.equal(await host.bind("tcp", "0.0.0.0", webNodePort), "!EADDRINUSE");
    expectSuccess(await node.runAgent("cleanup", "--bpffs", node.bpffs, "--cgroup", node.cgroup ?? ""));
    assert.equal(await host.bind("tcp", "0.0.0.0", webNodePort), "bound");
    assert.deepEqual(fs.existsSync(node.bpffs) ? fs.readdirSync(node.bpffs) : [], []);
    assert.match((await client.probe(web, 1))[0] ?? "", /^!E/);

    await node.startAgent();
    const again = await client.probe(web, 3);
    assert.ok(isAnswered(again), again.join());
    await expectDumpIsPlan(node);
  });

  function endpoint(pod: string): EndpointSpec {
    const { node, addresses } = lab.pod(pod);
    return { pod, node: `node-${node}`, addresses };
  }

  function service(
    name: string,
    clusterIp: string,
    targetPort: number,
    pods: readonly string[],
    nodePort?: number,
  ): ServiceSpec {
    const numbers = { port: 80, targetPort, ...(nodePort === undefined ? {} : { nodePort }) };
    const ports = [{ name: "", protocol: "TCP" as const, ...numbers }];
    return { namespace: "default", name, clusterIps: [clusterIp], ports, endpoints: pods.map(endpoint) };
  }

  async function killAndRestart(victim: string, afterMs: number, awayMs: number): Promise<void> {
    await delay(afterMs);
    if (victim === "control plane") {
      await lab.controlplane.kill();
      await delay(awayMs);
      await lab.controlplane.start();
    } else {
      const node = lab.node(victim.endsWith("1") ? 1 : 2);
      await node.agent.kill();
      await delay(awayMs);
      await node.startAgent();
    }
  }

  // Stopped once drained, and not before: an answer by it afterwards is a failed connection.
  async function stopDrained(pod: string): Promise<void> {
    expectSuccess(await lab.weft(["wait", "--drained", `${lab.pod(pod).addresses.v4}:${webPort}`]));
    await lab.pod(pod).process.kill();
  }

  async function expectDumpIsPlan(node: LabNode): Promise<void> {
    const plan = expectSuccess(
      await lab.weft(["plan", "--manifests", lab.manifests.folder, "--node", node.name], false),
    );
    const served = plan.split(/(?<=\n)/).filter((line) => line.includes('"scope":"internal"'));
    assert.equal(await node.dump(), served.join(""), `what ${node.name} holds is what it is planned to hold`);
  }

  function expectNothingWrong(): void {
    const failures = clients.map(({ total }) => Object.fromEntries(total.errors));
    assert.deepEqual(failures, [{}, {}], `failed exchanges; made: ${clients.map(({ total }) => total.made).join()}`);
    for (const client of clients) {
      assert.ok(client.total.made > 0, "no exchange was made");
      assert.deepEqual(generations.wrongAnswers(client), []);
    }
  }

  function isAnswered(outcomes: readonly string[]): boolean {
    return outcomes.every((outcome) => !outcome.startsWith("!"));
  }
});
