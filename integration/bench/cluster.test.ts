import assert from "node:assert/strict";
import { test } from "node:test";
import { project } from "@weft/controlplane/source/projection.ts";
import {
  changingSlice,
  clusterIp,
  clusterObjects,
  clusterOf,
  podIp,
  serviceKey,
  sliceObject,
  slicesOf,
} from "./cluster.ts";

const shape = clusterOf(3, 250, { families: ["IPv4", "IPv6"], nodes: 4 });

test("every object is served: nothing is refused or ignored", () => {
  const records = [...clusterObjects(shape)].map((object) => {
    const projection = project(object);
    assert.equal(projection.outcome, "record", JSON.stringify(projection));
    assert.deepEqual(projection.outcome === "record" && projection.refusals, []);
    return projection.outcome === "record" ? projection.record : undefined;
  });
  const slices = records.filter((record) => record?.kind === "EndpointSlice");
  assert.equal(records.filter((record) => record?.kind === "Service").length, 3);
  assert.equal(slices.length, 3 * slicesOf(shape));
  const addresses = slices.flatMap(({ endpoints }) => endpoints.map(({ address }) => address));
  assert.equal(addresses.length, 3 * 250 * 2);
  assert.equal(new Set(addresses).size, addresses.length, "each endpoint has an address of its own");
  assert.ok(slices.every(({ endpoints }) => endpoints.length <= 100));
});

test("a change is one endpoint with another address, in one slice", () => {
  for (let slice = 0; slice < slicesOf(shape); slice++) {
    const before = JSON.stringify(sliceObject(shape, 1, slice));
    const after = JSON.stringify(sliceObject(shape, 1, slice, 1));
    if (slice % 3 === changingSlice(shape)) assert.notEqual(after, before);
    else assert.equal(after, before);
  }
  const addresses = [0, 1, 2, 3].map((changes) => podIp(shape, 1, 249, "IPv4", changes));
  assert.equal(new Set(addresses).size, addresses.length);
});

test("addresses of the largest cluster are of the right kind", () => {
  assert.equal(podIp(clusterOf(10_000, 25), 9_999, 24, "IPv4"), "10.131.208.144");
  assert.equal(podIp(clusterOf(10_000, 25), 9_999, 24, "IPv6"), "fd00:128::3:d090");
  assert.equal(clusterIp(9_999, "IPv4"), "10.96.39.16");
  assert.deepEqual(serviceKey(9_999), { namespace: "team-99", name: "service-9999" });
});
