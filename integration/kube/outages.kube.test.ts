/** An API server that is away, silent, or back without its data. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ApiObject } from "./api-client.ts";
import type { ChooseFault } from "./fault-proxy.ts";
import { missingForKubeApi } from "./kube-api.ts";
import { KubeCluster } from "./kube-cluster.ts";
import { endpointsOf, namespace, serviceObject, sliceObject, withoutHistory } from "./kube-objects.ts";
import { waitUntil } from "./wait-until.ts";

/** How long it is stopped: in CI longer than what it does once a minute; by hand no longer than it takes to be noticed. */
const stoppedSeconds = Number(process.env["WEFT_TEST_STOPPED_SECONDS"] ?? (process.env["CI"] === "true" ? 60 : 12));
const silentSeconds = 6;
const services = 12;
const settleLimitMs = 60_000;

suite("an API server that fails", { skip: missingForKubeApi() ?? false }, () => {
  let cluster: KubeCluster;

  before(async () => {
    cluster = await KubeCluster.create();
    await createServices();
    await cluster.start();
    await cluster.settle();
  });

  after(async () => cluster[Symbol.asyncDispose]());

  test(`is stopped for ${stoppedSeconds} s: agents keep what they hold, then follow on`, async () => {
    const removedBefore = await cluster.removals();
    const held = await cluster.dumps();
    cluster.api.pause();
    await delay(stoppedSeconds * 1_000);
    assert.deepEqual(await cluster.dumps(), held);
    cluster.api.resume();
    await cluster.api.client.patch(sliceObject("web-1", []), { endpoints: endpointsOf([1, 2, 3, 4]) });
    await cluster.settle();
    assert.equal(await cluster.removals(), removedBefore);
  });

  test("is silent behind connections that stay: the control plane asks again", async () => {
    const removedBefore = await cluster.removals();
    cluster.proxy.freeze();
    await cluster.api.client.patch(sliceObject("web-2", []), { endpoints: endpointsOf([1, 2, 3, 4]) });
    await delay(silentSeconds * 1_000);
    cluster.proxy.thaw();
    await cluster.settle();
    assert.equal(await cluster.removals(), removedBefore);
  });

  test("is away while the control plane starts: agents keep what they hold until it is back", async () => {
    const held = await cluster.dumps();
    await cluster.api.kill();
    await cluster.killControlPlane();
    await cluster.startControlPlane();
    await delay(1_000);
    assert.equal(await cluster.isReady(), false);
    assert.deepEqual(await cluster.dumps(), held);
    await cluster.api.restart();
    await cluster.becomeReady();
    await cluster.settle();
    assert.equal(await cluster.removals(), 0);
  });

  for (const answer of ["refuses connections", "is answered for by 503"]) {
    test(`comes back without its data, and ${answer} meanwhile: nothing is removed until that is confirmed`, async () => {
      const { held, objects } = await loseData(answer.endsWith("503"));
      await heldBack(services);
      assert.deepEqual(await cluster.dumps(), held);

      // As a backup is restored: one after the other.
      for (const object of objects) await cluster.api.client.create(object);
      await heldBack(0);
      await cluster.settle();
      assert.deepEqual(await cluster.dumps(), held);
      assert.equal(await cluster.removals(), 0);
    });
  }

  test("comes back without its data, which is confirmed once, before all of it is known: nodes have what it has now", async () => {
    const confirmed = Promise.withResolvers<void>();
    await loseData(false, async ({ resource }) => {
      if (resource === "services") await confirmed.promise;
      return undefined;
    });
    // Of slices alone: services are not read yet.
    await heldBack(services);
    assert.match(
      await cluster.weft("confirm-removal"),
      new RegExp(`confirmed: ${services} of ${services + 1} services`),
    );
    confirmed.resolve();
    await cluster.settle();
    assert.equal(await cluster.actionOf("shop/web-1:http"), undefined);
    assert.match(cluster.controlplaneLog, /mass removal not held: .* this loss was confirmed/);
  });

  async function createServices(): Promise<void> {
    for (let i = 0; i < services; i++) {
      await cluster.api.client.create(serviceObject(`web-${i}`));
      await cluster.api.client.create(sliceObject(`web-${i}`, [1, 2, 3]));
    }
  }

  // Its nodes, its namespace and the rights of the control plane are there again; services and slices are not.
  async function loseData(
    isAnsweredFor: boolean,
    then: ChooseFault = () => undefined,
  ): Promise<{ held: readonly string[]; objects: readonly ApiObject[] }> {
    await cluster.renewControlPlane();
    await cluster.settle();
    const held = await cluster.dumps();
    const { client } = cluster.api;
    const lists = [await client.list("Service"), await client.list("EndpointSlice")];
    const objects = lists.flat().filter(({ metadata }) => metadata.namespace === namespace);
    cluster.proxy.fault = isAnsweredFor ? () => ({ kind: "answer", status: 503 }) : then;
    await cluster.api.restart({ losesData: true });
    await cluster.prepareApi();
    cluster.proxy.fault = then;
    return { held, objects: objects.map(withoutHistory) };
  }

  async function heldBack(count: number): Promise<void> {
    await waitUntil(async () => {
      const status = JSON.parse(await cluster.weft("status", "-o", "json")) as Status;
      const held = status.heldRemoval?.services ?? 0;
      return held === count ? undefined : `${held} services are held back, not ${count}`;
    }, settleLimitMs);
  }
});

interface Status {
  readonly heldRemoval?: { readonly services: number };
}
