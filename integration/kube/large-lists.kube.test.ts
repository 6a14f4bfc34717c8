/** 5,000 slices, in pages and by a watch that begins with all of them. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { missingForKubeApi } from "./kube-api.ts";
import { KubeCluster } from "./kube-cluster.ts";
import { endpointsOf, serviceObject, sliceObject } from "./kube-objects.ts";
import { waitUntil } from "./wait-until.ts";

// An API server lists in pages where it has no watch cache.
const pagedFlags = ["--feature-gates=WatchList=false", "--watch-cache=false"];
const services = 50;
const slicesPerService = 100;
const listLimitMs = 30_000;

suite("5,000 slices", { skip: missingForKubeApi() ?? false }, () => {
  let cluster: KubeCluster;

  before(async () => {
    cluster = await KubeCluster.create({ apiFlags: pagedFlags });
    const names = Array.from({ length: services }, (_, i) => `web-${i}`);
    await cluster.api.client.createAll(names.map((name) => serviceObject(name)));
    await cluster.api.client.createAll(
      names.flatMap((name) =>
        Array.from({ length: slicesPerService }, (_, part) => sliceObject(name, [part + 1], part)),
      ),
    );
  });

  after(async () => cluster[Symbol.asyncDispose]());

  test("arrive in pages", async () => {
    await cluster.start();
    await cluster.settle();
    assert.ok(pages() >= 9, `${pages()} pages behind the first`);
  });

  test("arrive anew if the history is compacted between two pages", async () => {
    const removedBefore = await cluster.removals();
    const pagesBefore = pages();
    let compactions = 0;
    cluster.proxy.fault = async ({ verb, query }) => {
      // A watch that cannot go on: everything is listed again.
      if (verb === "watch" && compactions === 0) return { kind: "answer", status: 410 };
      if (!query.has("continue") || compactions++ > 0) return undefined;
      await cluster.api.client.patch(sliceObject("web-0", []), { endpoints: endpointsOf([1, 2]) });
      await cluster.api.compact();
      return undefined;
    };
    cluster.proxy.cutConnections();
    await waitUntil(async () => (compactions > 0 ? undefined : "no page was asked for"), listLimitMs);
    await cluster.settle();
    assert.ok(pages() > pagesBefore);
    assert.equal(await cluster.removals(), removedBefore);
  });

  test("arrive as the first events of a watch", async () => {
    cluster.proxy.fault = () => undefined;
    await cluster.killControlPlane();
    await cluster.api.restart({ flags: [] });
    await cluster.startControlPlane();
    await cluster.api.client.patch(sliceObject("web-1", []), { endpoints: endpointsOf([1, 2]) });
    await cluster.settle();
    assert.equal(await cluster.removals(), 0);
  });

  function pages(): number {
    return cluster.proxy.requests.filter(
      ({ resource, query }) => resource === "endpointslices" && query.has("continue"),
    ).length;
  }
});
