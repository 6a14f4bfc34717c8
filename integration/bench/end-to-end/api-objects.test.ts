import assert from "node:assert/strict";
import { test } from "node:test";
import { project } from "@weft/controlplane/source/projection.ts";
import {
  clusterIpOf,
  firstService,
  lastReplaced,
  namespaceObjects,
  objectsOf,
  oneReady,
  shapeOf,
} from "./api-objects.ts";

const addresses = ["10.244.3.11", "10.244.3.12", "10.244.3.13"];

test("objects are created without what the API server gives", () => {
  for (const { metadata } of objectsOf(shapeOf(10), firstService))
    assert.deepEqual(
      Object.keys(metadata)
        .toSorted()
        .filter((key) => key !== "ownerReferences"),
      ["labels", "name", "namespace"],
    );
});

test("the first ClusterIP is not the API's own", () => {
  assert.equal(clusterIpOf(firstService), "10.96.0.2");
});

test("namespaces are those of the services, each once", () => {
  const names = namespaceObjects(99, 301).map(({ metadata }) => metadata.name);
  assert.deepEqual(names, ["team-0", "team-1", "team-2", "team-3"]);
});

test("one backend is ready, the others are neither ready nor serving", () => {
  const [, slice] = objectsOf(shapeOf(10), firstService);
  const projection = project({ ...slice, ...(oneReady({ addresses, node: "node-3" }, 1) as object) });
  assert.ok(projection.outcome === "record" && projection.record.kind === "EndpointSlice");
  const { endpoints } = projection.record;
  assert.deepEqual(
    endpoints.map(({ address, isReady, isServing }) => [address, isReady, isServing]),
    addresses.map((address, i) => [address, i === 1, i === 1]),
  );
});

test("a replaced endpoint is the only difference", () => {
  const shape = shapeOf(10, 100);
  const [before, after] = [1, 2].map(
    (changes) => (lastReplaced(shape, 3, changes) as { readonly endpoints: readonly unknown[] }).endpoints,
  );
  assert.deepEqual(after?.slice(0, -1), before?.slice(0, -1));
  assert.notDeepEqual(after?.at(-1), before?.at(-1));
});
