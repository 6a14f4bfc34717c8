import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { findCgroupMount } from "./cgroup.ts";
import type { ClientTarget, Transport } from "./client-messages.ts";
import { destroyLab, labNamespaces } from "./destroy-lab.ts";
import { missingForKernelLab } from "./kernel-support.ts";
import { cgroupName, labPaths } from "./lab-paths.ts";
import { createLab } from "./lab.ts";
import type { Lab } from "./lab.ts";
import type { TrafficClient } from "./traffic.ts";

const missing = missingForKernelLab();
const skip = missing === undefined ? false : missing;

/** What a lab of that name left on this machine. */
function leftovers(lab: string): string[] {
  return [
    ...labNamespaces(lab),
    ...[labPaths(lab).root, path.join(findCgroupMount() ?? "", cgroupName(lab))].filter((folder) =>
      fs.existsSync(folder),
    ),
    ...fs
      .readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(`${labPaths(lab).root}/`)),
  ];
}

test("a lab connects pods across nodes", { skip }, async (t) => {
  let lab: Lab;
  let client: TrafficClient;
  before(async () => {
    lab = await createLab({ name: "bare", nodes: 2, dataplane: "kernel", isBare: true });
    await lab.startPods([
      { name: "near", node: 1, ports: "8080", echoPorts: "8081" },
      { name: "far", node: 2, ports: "8080,9000-9001" },
    ]);
    client = await lab.startClient("client", 1);
  });
  after(async () => lab.destroy());

  const transports: readonly Transport[] = ["tcp", "udp", "udp-connected"];
  for (const pod of ["near", "far"]) {
    for (const family of ["v4", "v6"] as const) {
      for (const transport of transports) {
        await t.test(`${transport} ${family} to a pod that is ${pod}`, async () => {
          const target: ClientTarget = { name: "x", transport, address: lab.pod(pod).addresses[family], port: 8080 };
          assert.deepEqual(await client.probe(target, 2), [`${pod} 8080`, `${pod} 8080`]);
        });
      }
    }
  }

  await t.test("each port answers with its number", async () => {
    const target: ClientTarget = { name: "x", transport: "tcp", address: lab.pod("far").addresses.v4, port: 9001 };
    assert.deepEqual(await client.probe(target, 1), ["far 9001"]);
  });

  await t.test("a connection to an echo port stays", async () => {
    const echo: ClientTarget = { name: "x", transport: "tcp", address: lab.pod("near").addresses.v4, port: 8081 };
    const { id, outcome } = await client.hold(echo);
    assert.equal(outcome, "near 8081");
    assert.equal(await client.use(id), "still there?");
  });

  await t.test("a ClusterIP without an agent does not answer", async () => {
    const target: ClientTarget = { name: "x", transport: "tcp", address: "10.96.0.10", port: 80 };
    assert.match((await client.probe(target, 1, 1_000))[0] ?? "", /^!E(NET|HOST)UNREACH$/);
  });

  await t.test("traffic is reported by target and pod, and failures by error", async () => {
    const address = lab.pod("near").addresses.v4;
    client.send(
      [
        { name: "open", transport: "tcp", address, port: 8080 },
        { name: "closed", transport: "tcp", address, port: 8079 },
      ],
      200,
      100,
    );
    await client.nextReport();
    client.send([], 0);
    const { total } = client;
    assert.ok((total.answers.get("open")?.get("near 8080")?.count ?? 0) > 0);
    assert.deepEqual([...total.errors.keys()], ["closed: ECONNREFUSED"]);
    assert.equal(total.failed, total.errors.get("closed: ECONNREFUSED"));
  });

  await t.test("a process of a node is in the node's cgroup", () => {
    const cgroup = fs.readFileSync(`/proc/${lab.pod("far").process.pid}/cgroup`, "utf8");
    assert.match(cgroup, /^0::\/weft-bare\/node-2\/pod-far$/m);
  });

  await t.test("destroying leaves nothing, and may be repeated", async () => {
    assert.notDeepEqual(leftovers("bare"), []);
    await lab.destroy();
    assert.deepEqual(leftovers("bare"), []);
    assert.deepEqual(await destroyLab("bare"), { processes: 0, namespaces: 0, mounts: 0, cgroups: 0, folders: 0 });
  });
});

test("a janitor removes the lab of an owner that was killed", { skip }, async () => {
  const owner = spawn(process.execPath, ["--input-type=module", "-e", ownerProgram], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(owner.stdout, "data");
  assert.notDeepEqual(leftovers("orphan"), []);
  owner.kill("SIGKILL");
  const limit = performance.now() + 10_000;
  while (leftovers("orphan").length > 0 && performance.now() < limit) await delay(20);
  assert.deepEqual(leftovers("orphan"), []);
});

const ownerProgram = `
  import { createLab } from ${JSON.stringify(path.join(import.meta.dirname, "lab.ts"))};
  const lab = await createLab({ name: "orphan", nodes: 1, dataplane: "kernel", isBare: true });
  await lab.startPods([{ name: "pod", node: 1, ports: "8080" }]);
  console.log("up");
  setInterval(() => {}, 1000);
`;
