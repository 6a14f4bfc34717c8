import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { firstPods } from "../demo/cast.ts";
import { podAddresses } from "./address-plan.ts";
import { ClusterManifests } from "./cluster-manifests.ts";
import type { EndpointSpec } from "./cluster-manifests.ts";

const service = "default/web";
const file = "web.yaml";

function endpoint(pod: string, slot: number): EndpointSpec {
  return { pod, node: "node-1", addresses: podAddresses(1, slot) };
}

suite("manifests of a lab", () => {
  let manifests: ClusterManifests;
  beforeEach(() => {
    manifests = new ClusterManifests(fs.mkdtempSync(path.join(os.tmpdir(), "weft-manifests-")));
    const ports = [{ name: "http", protocol: "TCP" as const, port: 80, targetPort: 8080 }];
    const endpoints = [endpoint("a", 1), endpoint("b", 2)];
    const clusterIps = ["10.96.0.10", "fd00:96::10"];
    manifests.writeServices(file, [{ namespace: "default", name: "web", clusterIps, ports, endpoints }]);
  });
  afterEach(() => fs.rmSync(manifests.folder, { recursive: true }));

  const slices = (): readonly { readonly addresses: readonly string[]; readonly ready: readonly unknown[] }[] =>
    manifests
      .read(file)
      .filter((object) => object.kind === "EndpointSlice")
      .map((slice) => {
        const endpoints = slice["endpoints"] as { addresses: string[]; conditions: { ready: boolean } }[];
        return {
          addresses: endpoints.map((of) => of.addresses.join()),
          ready: endpoints.map((of) => of.conditions.ready),
        };
      });

  test("a service has a slice per family, with its pods in both", () => {
    assert.deepEqual(slices(), [
      { addresses: ["10.244.1.11", "10.244.1.12"], ready: [true, true] },
      { addresses: ["fd00:244:1::11", "fd00:244:1::12"], ready: [true, true] },
    ]);
    assert.deepEqual(manifests.endpointsOf(file, service), ["a", "b"]);
  });

  test("one edit removes and adds, in both families", () => {
    manifests.changeEndpoints(file, service, { remove: ["a"], add: [endpoint("c", 3)] });
    assert.deepEqual(manifests.endpointsOf(file, service), ["b", "c"]);
    assert.deepEqual(slices()[1]?.addresses, ["fd00:244:1::12", "fd00:244:1::13"]);
  });

  test("an endpoint that is added again is replaced", () => {
    manifests.changeEndpoints(file, service, { add: [{ ...endpoint("a", 1), isTerminating: true }] });
    assert.deepEqual(slices()[0], { addresses: ["10.244.1.12", "10.244.1.11"], ready: [true, false] });
  });

  test("another service of the file is not touched", () => {
    manifests.changeEndpoints(file, "default/other", { remove: ["a", "b"] });
    assert.deepEqual(manifests.endpointsOf(file, service), ["a", "b"]);
  });

  test("an edit leaves no other file behind", () => {
    manifests.changeEndpoints(file, service, { remove: ["a"] });
    assert.deepEqual(fs.readdirSync(manifests.folder), [file]);
  });
});

test("the demo's manifests name the addresses that its pods get", () => {
  const manifests = new ClusterManifests(path.join(import.meta.dirname, "manifests"));
  const slots = new Map<number, number>();
  const expected = new Map<string, readonly string[]>();
  for (const { name, node } of firstPods) {
    const slot = (slots.get(node) ?? 0) + 1;
    slots.set(node, slot);
    expected.set(name, Object.values(podAddresses(node, slot)));
  }
  const named = ["web.yaml", "api.yaml", "dns.yaml"]
    .flatMap((name) => manifests.read(name))
    .flatMap((object) => (object["endpoints"] ?? []) as { addresses: string[]; targetRef: { name: string } }[]);
  assert.equal(named.length, 2 * firstPods.length);
  for (const { addresses, targetRef } of named) {
    assert.ok(
      expected.get(targetRef.name)?.includes(addresses.join()),
      `${targetRef.name} is not at ${addresses.join()}`,
    );
  }
});
