/** What networks, load balancers and an overloaded API server do to a watch, by a proxy in between. */
import assert from "node:assert/strict";
import { after, before, beforeEach, suite, test } from "node:test";
import type { Fault, ProxiedRequest } from "./fault-proxy.ts";
import { missingForKubeApi } from "./kube-api.ts";
import { KubeCluster } from "./kube-cluster.ts";
import { endpointsOf, serviceObject, sliceObject } from "./kube-objects.ts";

interface Case {
  readonly name: string;
  readonly fault: Fault;
  /** How many watches of each kind suffer, then all pass. */
  readonly times: number;
}

const always = Number.POSITIVE_INFINITY;
const cases: readonly Case[] = [
  { name: "repeats every event", fault: { kind: "duplicate" }, times: always },
  { name: "repeats old events", fault: { kind: "replay" }, times: always },
  { name: "is late", fault: { kind: "delay", ms: 700 }, times: always },
  { name: "is cut in the middle of an event", fault: { kind: "cut", afterLines: 1 }, times: 2 },
  { name: "says something that is no event", fault: { kind: "garble", afterLines: 1 }, times: 1 },
  { name: "is answered 410", fault: { kind: "answer", status: 410 }, times: 1 },
  { name: "is answered 429", fault: { kind: "answer", status: 429, retryAfterSeconds: 1 }, times: 1 },
  { name: "is answered 500", fault: { kind: "answer", status: 500 }, times: 1 },
  { name: "is answered 503", fault: { kind: "answer", status: 503 }, times: 2 },
];

suite("between a control plane and its API server", { skip: missingForKubeApi() ?? false }, () => {
  let cluster: KubeCluster;
  let slots = 1;

  before(async () => {
    cluster = await KubeCluster.create();
    for (let i = 0; i < 3; i++) {
      await cluster.api.client.create(serviceObject(`web-${i}`));
      await cluster.api.client.create(sliceObject(`web-${i}`, [1]));
    }
    await cluster.start();
  });

  after(async () => cluster[Symbol.asyncDispose]());

  beforeEach(async () => cluster.renewControlPlane());

  for (const { name, fault, times } of cases) {
    test(`a watch ${name}`, async () => {
      const isHit = firstOfEachKind(times);
      cluster.proxy.fault = (request) => (request.verb === "watch" && isHit(request) ? fault : undefined);
      cluster.proxy.cutConnections();
      for (let i = 0; i < 4; i++) await grow();
      await cluster.settle();
      cluster.proxy.fault = () => undefined;
      await grow();
      await cluster.settle();
      // Endpoints only came.
      assert.equal(await cluster.removals(), 0);
    });
  }

  test("a removed object stays removed although its events come again", async () => {
    cluster.proxy.fault = ({ verb }) => (verb === "watch" ? { kind: "replay" } : undefined);
    cluster.proxy.cutConnections();
    const { client } = cluster.api;
    await client.create(serviceObject("brief"));
    await client.create(sliceObject("brief", [40, 41]));
    await cluster.settle();
    await client.remove(sliceObject("brief", []));
    await client.remove(serviceObject("brief"));
    await grow();
    await cluster.settle();
    cluster.proxy.fault = () => undefined;
    assert.equal(await cluster.removals(), 3);
  });

  async function grow(): Promise<void> {
    slots++;
    const endpoints = endpointsOf(Array.from({ length: slots }, (_, i) => i + 1));
    for (let i = 0; i < 3; i++) await cluster.api.client.patch(sliceObject(`web-${i}`, []), { endpoints });
  }
});

function firstOfEachKind(times: number): (request: ProxiedRequest) => boolean {
  const hits = new Map<string, number>();
  return ({ resource }) => {
    const count = (hits.get(resource) ?? 0) + 1;
    hits.set(resource, count);
    return count <= times;
  };
}
