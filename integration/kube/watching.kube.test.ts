/** Following a real API server, by WatchList and by paginated LIST with WATCH. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { ApiObject } from "./api-client.ts";
import { missingForKubeApi } from "./kube-api.ts";
import { KubeCluster } from "./kube-cluster.ts";
import { endpointsOf, namespace, serviceObject, sliceObject } from "./kube-objects.ts";
import { waitUntil } from "./wait-until.ts";

const kinds = ["services", "endpointslices", "nodes", "servicecidrs"];
const modes = [
  { name: "WatchList", apiFlags: [], isWatchList: true },
  { name: "LIST and WATCH", apiFlags: ["--feature-gates=WatchList=false"], isWatchList: false },
] as const;
const countLimitMs = 10_000;

for (const { name, apiFlags, isWatchList } of modes) {
  suite(`an API server followed by ${name}`, { skip: missingForKubeApi() ?? false }, () => {
    let cluster: KubeCluster;
    let watchesBefore: ReadonlyMap<string, number>;

    before(async () => {
      cluster = await KubeCluster.create({ apiFlags });
      await cluster.api.client.createAll(firstObjects());
      watchesBefore = await cluster.api.watches();
      await cluster.start();
    });

    after(async () => cluster[Symbol.asyncDispose]());

    test("agents hold what it holds", async () => {
      await cluster.settle();
      for (const kind of kinds) {
        const asked = cluster.proxy.requests.filter(({ resource }) => resource === kind);
        const lists = asked.filter(({ verb }) => verb === "list");
        if (isWatchList) assert.equal(lists.length, 0, `${kind} was listed`);
        else assert.ok(lists.length > 0 && lists.every(({ query }) => query.has("limit")), `${kind}: no list in pages`);
      }
    });

    test("three agents cost one watch of each kind", async () => {
      const added = async (): Promise<readonly (readonly [string, number])[]> => {
        const now = await cluster.api.watches();
        return kinds.map((kind) => [kind, (now.get(kind) ?? 0) - (watchesBefore.get(kind) ?? 0)] as const);
      };
      await waitUntil(async () => {
        const counts = await added();
        return counts.every(([, count]) => count === 1) ? undefined : JSON.stringify(counts);
      }, countLimitMs);
    });

    test("changes arrive, and nothing else is removed", async () => {
      const removedBefore = await cluster.removals();
      const { client } = cluster.api;
      await client.create(serviceObject("fresh"));
      await client.create(sliceObject("fresh", [31, 32]));
      await client.patch(sliceObject("web-1", []), { endpoints: endpointsOf([6, 7, 8, 9, 10]) });
      await client.patch(serviceObject("web-2"), { spec: { sessionAffinity: "ClientIP" } });
      await cluster.settle();
      assert.equal(await cluster.removals(), removedBefore);

      await client.remove(sliceObject("fresh", []));
      await client.remove(serviceObject("fresh"));
      await cluster.settle();
      // The service and its two backends.
      assert.equal(await cluster.removals(), removedBefore + 3);
    });

    const labels = [
      {
        kind: "a service",
        object: serviceObject("web-1"),
        label: "service.kubernetes.io/service-proxy-name",
        // Of the service that the object belongs to, without and with the label.
        actions: ["forward", undefined],
      },
      {
        kind: "a slice",
        object: sliceObject("web-2", []),
        label: "service.kubernetes.io/headless",
        actions: ["forward", "reject"],
      },
    ] as const;
    for (const { kind, object, label, actions } of labels) {
      const service = `${namespace}/${object.metadata.name.replace(/-0$/, "")}:http`;
      test(`${kind} counts while it has no label ${label}, which comes and goes`, async () => {
        const { client } = cluster.api;
        for (const value of [null, "", null, "other", null]) {
          await client.patch(object, { metadata: { labels: { [label]: value } } });
          await cluster.settle();
          assert.equal(await cluster.actionOf(service), actions[value === null ? 0 : 1]);
        }
      });
    }

    test("killed and started again with the same data, it is followed on, and nothing was removed", async () => {
      const removedBefore = await cluster.removals();
      await cluster.api.client.patch(sliceObject("web-3", []), { endpoints: endpointsOf([16, 17, 18, 19]) });
      await cluster.api.restart();
      await cluster.api.client.create(sliceObject("web-3", [20, 21], 1));
      await cluster.settle();
      assert.equal(await cluster.removals(), removedBefore);
    });

    test("a namespace in which all is removed at once", async () => {
      const { client } = cluster.api;
      await client.send("DELETE", `/api/v1/namespaces/${namespace}/services/web-4`);
      await client.send("DELETE", `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`);
      await cluster.settle();
    });
  });
}

// Services web-0 to web-4 with one slice each: endpoints of service i have slots 5i + 1 and up.
function firstObjects(): readonly ApiObject[] {
  return Array.from({ length: 5 }, (_, i) => i).flatMap((i) => [
    serviceObject(`web-${i}`, i === 0 ? "NodePort" : "ClusterIP"),
    sliceObject(`web-${i}`, [5 * i + 1, 5 * i + 2]),
  ]);
}
