import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { addressFromBytes, type Address } from "@weft/proto/address.ts";
import type { NodeAddresses } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { describedAddress } from "../plan/described-cluster.ts";
import { encodedBackend, encodedService } from "../sync/described-resources.ts";
import type { AgentOptions } from "./agent.ts";
import { snapshot } from "./fake-control-plane.ts";
import { AgentLab, type RunningAgent } from "./test-agents.ts";

const web = encodedService({ name: "ns/web", clusterIps: ["10.96.0.1"], ports: [{ port: 80, nodePort: 30_080 }] });
const web1 = encodedBackend({ service: "ns/web", address: "10.1.0.1" });
const addresses = ["192.0.2.1", "192.0.2.2"].map(describedAddress);

/** "address kind scope" of what is live. */
function live(agent: RunningAgent): readonly string[] {
  return agent.lines().map((line) => {
    const { address, kind, scope } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    return `${String(address)} ${String(kind)} ${String(scope)}`;
  });
}

function told(of: NodeAddresses | undefined): Readonly<Record<string, unknown>> {
  return {
    nodePorts: of?.nodePortAddresses.map(addressFromBytes),
    local: of?.localAddresses.map(addressFromBytes),
    serves: of?.servesLocalClusterIps,
  };
}

const external = "10.96.0.1 ClusterIP external";
const internal = "10.96.0.1 ClusterIP internal";
const nodePort = (address: string): string[] => [`${address} NodePort external`, `${address} NodePort internal`];
const all = addresses.flatMap(nodePort);

const cases: readonly {
  readonly is: string;
  readonly options: Partial<AgentOptions>;
  readonly told: Readonly<Record<string, unknown>>;
  readonly live: readonly string[];
}[] = [
  {
    is: "without flags every address has NodePorts, and a ClusterIP that a device has is passed",
    options: { readLocalAddresses: () => new Set([describedAddress("10.96.0.1")]) },
    told: { nodePorts: addresses, local: ["10.96.0.1"], serves: false },
    live: [external, ...all],
  },
  {
    is: "--nodeport-addresses narrows and adds loopback",
    options: { addressingFlags: { nodeportAddresses: ["primary", "loopback"], localClusterIps: undefined } },
    told: { nodePorts: ["192.0.2.1", "127.0.0.1"], local: [], serves: false },
    live: [external, internal, "127.0.0.1 NodePort internal", ...nodePort("192.0.2.1")],
  },
  {
    is: "--local-cluster-ips=serve serves what a device has",
    options: {
      addressingFlags: { nodeportAddresses: [], localClusterIps: "serve" },
      readLocalAddresses: () => new Set([describedAddress("10.96.0.1")]),
    },
    told: { nodePorts: addresses, local: ["10.96.0.1"], serves: true },
    live: [external, internal, ...all],
  },
];

describe("addresses of an agent", () => {
  for (const { is, options, told: expected, live: lines } of cases) {
    it(`${is}, and the control plane is told`, async () => {
      await using lab = await AgentLab.start();
      const agent = await lab.agent({ addresses, readLocalAddresses: () => new Set(), ...options });
      const stream = await lab.plane.stream();
      const hello = await stream.greet();
      assert.deepEqual(told(hello.addresses), expected);
      stream.send(snapshot(1, [web, web1]));
      await stream.ack((ack) => ack.revision === 1n);
      assert.deepEqual(live(agent), lines);
    });
  }

  it("follow the devices: the plan and the next ack change", async () => {
    await using lab = await AgentLab.start();
    let local: ReadonlySet<Address> = new Set();
    const agent = await lab.agent({ addresses, readLocalAddresses: () => local, addressPollMs: 10 });
    const stream = await lab.plane.stream();
    await stream.greet();
    stream.send(snapshot(1, [web, web1]));
    await stream.ack((ack) => ack.revision === 1n);
    assert.deepEqual(live(agent), [external, internal, ...all]);
    local = new Set([describedAddress("10.96.0.1")]);
    const ack = await stream.ack((message) => message.addresses !== undefined);
    assert.deepEqual(told(ack.addresses), { nodePorts: addresses, local: ["10.96.0.1"], serves: false });
    while (live(agent).includes(internal)) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(live(agent), [external, ...all]);
  });
});
