/** What the control plane may do, and what it says and does when that is not enough. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { documentedAccess } from "./documented-access.ts";
import { missingForKubeApi } from "./kube-api.ts";
import { KubeCluster } from "./kube-cluster.ts";
import { endpointsOf, serviceObject, sliceObject } from "./kube-objects.ts";
import { waitUntil } from "./wait-until.ts";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const logLimitMs = 15_000;

suite("the rights of a control plane", { skip: missingForKubeApi() ?? false }, () => {
  let cluster: KubeCluster;
  const role = documentedAccess().find(({ kind }) => kind === "ClusterRole");
  const rules = (role?.["rules"] ?? []) as readonly Rule[];

  before(async () => {
    cluster = await KubeCluster.create();
    await cluster.api.client.create(serviceObject("web"));
    await cluster.api.client.create(sliceObject("web", [1, 2]));
  });

  after(async () => cluster[Symbol.asyncDispose]());

  test("are documented as get, list and watch of four kinds", () => {
    for (const { verbs } of rules) assert.deepEqual([...verbs].toSorted(), ["get", "list", "watch"]);
    const resources = rules.flatMap(({ apiGroups, resources: of }) =>
      apiGroups.flatMap((group) => of.map((resource) => (group === "" ? resource : `${resource}.${group}`))),
    );
    assert.deepEqual(
      resources.toSorted(),
      ["endpointslices.discovery.k8s.io", "nodes", "services", "servicecidrs.networking.k8s.io"].toSorted(),
    );
  });

  test("are named where one is missing, and used once it is there", async () => {
    assert.ok(role !== undefined);
    const lacking = rules.filter(({ resources }) => !resources.includes("endpointslices"));
    await cluster.api.client.patch(role, { rules: lacking });
    await cluster.start();
    await logged(/endpointslices.*403/);
    assert.equal(await cluster.isReady(), false);

    await cluster.api.client.patch(role, { rules });
    await cluster.becomeReady();
    await cluster.settle();
  });

  test("come with a token that is read again after it was revoked", async () => {
    const removedBefore = await cluster.removals();
    const account = documentedAccess().find(({ kind }) => kind === "ServiceAccount");
    assert.ok(account !== undefined);
    // A token belongs to an account by its UID, not by its name. A running API server would believe it for 10 s more.
    await cluster.api.client.remove(account);
    await cluster.api.restart();
    await logged(/\b401\b/);
    await cluster.renewToken();
    await cluster.api.client.patch(sliceObject("web", []), { endpoints: endpointsOf([1, 2, 3]) });
    await cluster.settle();
    assert.equal(await cluster.removals(), removedBefore);
  });

  async function logged(pattern: RegExp): Promise<void> {
    await waitUntil(
      async () => (pattern.test(cluster.controlplaneLog) ? undefined : `the log says nothing like ${pattern}`),
      logLimitMs,
    );
  }
});
