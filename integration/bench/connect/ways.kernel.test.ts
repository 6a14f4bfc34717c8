/** The ways that `connect` compares lead where they should; the caller ends when a call reaches none of the pods. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, suite, test } from "node:test";
import { podAddresses } from "../../lab/address-plan.ts";
import { missingForKernelLab } from "../../lab/kernel-support.ts";
import { createLab } from "../../lab/lab.ts";
import { namespaceName, namespacePath } from "../../lab/lab-paths.ts";
import type { Lab } from "../../lab/lab.ts";
import { findRulePeer, remedyOf } from "../peers/rule-peer.ts";
import type { RulePeer, RulePeerName } from "../peers/rule-peer.ts";
import { callsAt, podsPerNode, proxiedServices, sizes } from "./calls.ts";
import { directWay, rulesWay, weftWay } from "./measured-way.ts";
import type { MeasuredWay } from "./measured-way.ts";

const size = sizes[0];
const allCalls = callsAt(10_000);
const peers: readonly RulePeerName[] = ["nft", "iptables-legacy", "iptables-nft"];
const count = 40;

suite("ways of the bench connect", { skip: missing() ?? false }, () => {
  let weftLab: Lab;
  let lab: Lab;
  before(async () => {
    weftLab = await createLab({ name: "waysw", nodes: 1, dataplane: "kernel" });
    lab = await createLab({ name: "ways", nodes: 1 + peers.length, dataplane: "kernel", isBare: true });
  });
  after(async () => {
    await weftLab.destroy();
    await lab.destroy();
  });

  test("direct", async () => leads(await directWay(lab, 1, 0)));

  test("weft", async () => leads(await weftWay(weftLab, 0)));

  for (const [i, name] of peers.entries()) {
    const peer = findRulePeer(name);
    const node = i + 2;
    test(name, { skip: peer === undefined ? remedyOf(name) : false }, async () => {
      assert.ok(peer !== undefined);
      const way = await rulesWay(lab, node, 0, peer, [size]);
      await leads(way);
      await changes(way, peer, node);
    });
  }

  // All services lead nowhere, until those that are called get their pods back.
  async function changes(way: MeasuredWay, peer: RulePeer, node: number): Promise<void> {
    const { signal } = new AbortController();
    const nowhere = { IPv4: "192.0.2.1", IPv6: "2001:db8::1" };
    const pods = Array.from({ length: podsPerNode }, (_, i) => podAddresses(node, i + 1));
    const pairs = pods.map(({ v4, v6 }) => ({ IPv4: v4, IPv6: v6 }));
    const namespace = namespacePath(namespaceName(lab.name, `node-${node}`));
    for (const [family, ipFamily] of [
      [4, "IPv4"],
      [6, "IPv6"],
    ] as const) {
      const all = proxiedServices(size, ipFamily, pairs);
      const called = all.filter(({ endpoints }) => endpoints.length === podsPerNode);
      await peer.replace({ namespace, family }, proxiedServices(size, ipFamily, [nowhere]), signal);
      await peer.change({ namespace, family }, all, called, signal);
    }
    await answers(way);
  }
});

function missing(): string | undefined {
  if (spawnSync("gcc", ["--version"]).error !== undefined) return "gcc is missing: apt-get install gcc libc6-dev";
  return missingForKernelLab();
}

async function leads(way: MeasuredWay): Promise<void> {
  await way.grow(size, new AbortController().signal);
  await answers(way);
}

async function answers(way: MeasuredWay): Promise<void> {
  for (const call of allCalls) {
    const took = await way.call(size, call, count);
    assert.equal(took.length, count, JSON.stringify(call));
    assert.ok(took.every((us) => us > 0));
  }
}
