/** A history that the API server no longer has: a watch from before it, and a list whose pages it ends between. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { missingForKubeApi } from "./kube-api.ts";
import { KubeCluster } from "./kube-cluster.ts";
import { endpointsOf, serviceObject, sliceObject } from "./kube-objects.ts";

// Without watch cache every request is answered from etcd, which knows what was compacted.
const modes = [
  { name: "from etcd", apiFlags: ["--watch-cache=false"] },
  { name: "from etcd, without WatchList", apiFlags: ["--watch-cache=false", "--feature-gates=WatchList=false"] },
] as const;

for (const { name, apiFlags } of modes) {
  suite(`compacted history, answered ${name}`, { skip: missingForKubeApi() ?? false }, () => {
    let cluster: KubeCluster;

    before(async () => {
      cluster = await KubeCluster.create({ apiFlags });
      for (let i = 0; i < 3; i++) {
        await cluster.api.client.create(serviceObject(`web-${i}`));
        await cluster.api.client.create(sliceObject(`web-${i}`, [1, 2]));
      }
      await cluster.start();
      await cluster.settle();
    });

    after(async () => cluster[Symbol.asyncDispose]());

    test("a watch from before it finds what came and went meanwhile, and invents nothing", async () => {
      const { client } = cluster.api;
      const removedBefore = await cluster.removals();
      cluster.proxy.fault = () => ({ kind: "answer", status: 503 });
      cluster.proxy.cutConnections();
      await client.create(serviceObject("late"));
      await client.create(sliceObject("late", [8]));
      await client.patch(sliceObject("web-0", []), { endpoints: endpointsOf([1, 2, 3, 4]) });
      await client.remove(sliceObject("web-1", []));
      await client.remove(serviceObject("web-1"));
      await cluster.api.compact();
      cluster.proxy.fault = () => undefined;
      await cluster.settle();
      // Service web-1 and its two backends.
      assert.equal(await cluster.removals(), removedBefore + 3);
    });
  });
}
