import assert from "node:assert/strict";
import { test } from "node:test";
import type { Revision } from "@weft/proto/cursor.ts";
import { Protocol } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { resourceId } from "@weft/proto/ids.ts";
import { ChoosabilityIndex } from "./choosability.ts";
import { address, backendResource, Commits, serviceResource } from "./testing-resources.ts";
import type { BackendSpec, ServiceSpec } from "./testing-resources.ts";

interface Case {
  readonly name: string;
  readonly services?: readonly ServiceSpec[];
  readonly backends: readonly BackendSpec[];
  readonly expected: "absent" | "drained" | "fallback" | "choosable";
}

const web: ServiceSpec = { service: "a/web" };
const one = { of: "a/web", address: "10.0.0.1" };
const two = { of: "a/web", address: "10.0.0.2" };

// All are about 10.0.0.1:80.
const cases: readonly Case[] = [
  { name: "no backend", backends: [], expected: "absent" },
  { name: "the address on another port", backends: [{ ...one, ports: { "": 81 } }], expected: "absent" },
  { name: "ready", backends: [one], expected: "choosable" },
  { name: "not ready", backends: [{ ...one, state: "not-ready" }, two], expected: "drained" },
  { name: "not ready, and no other", backends: [{ ...one, state: "not-ready" }], expected: "drained" },
  { name: "terminating beside a ready one", backends: [{ ...one, state: "terminating" }, two], expected: "drained" },
  { name: "terminating, alone", backends: [{ ...one, state: "terminating" }], expected: "fallback" },
  {
    name: "terminating beside another that terminates",
    backends: [
      { ...one, state: "terminating" },
      { ...two, state: "terminating" },
    ],
    expected: "fallback",
  },
  {
    name: "terminating beside one that is not ready",
    backends: [
      { ...one, state: "terminating" },
      { ...two, state: "not-ready" },
    ],
    expected: "fallback",
  },
  {
    name: "terminating and not serving, alone",
    backends: [{ ...one, state: "terminating-not-serving" }],
    expected: "drained",
  },
  {
    name: "terminating beside a ready one of the other family",
    backends: [
      { ...one, state: "terminating" },
      { ...two, address: "fd00::2" },
    ],
    expected: "fallback",
  },
  {
    name: "terminating beside a ready one of another port name",
    backends: [
      { ...one, state: "terminating" },
      { ...two, ports: { other: 80 } },
    ],
    expected: "fallback",
  },
  {
    name: "terminating beside a ready one of another protocol",
    backends: [
      { ...one, state: "terminating" },
      { ...two, protocol: Protocol.UDP },
    ],
    expected: "fallback",
  },
  {
    name: "ready, on a port that the service does not have",
    services: [{ ...web, ports: ["http"] }],
    backends: [one],
    expected: "drained",
  },
  { name: "ready, of an unknown service", services: [], backends: [one], expected: "drained" },
  {
    name: "not ready in one service, ready in another",
    services: [web, { service: "b/web" }],
    backends: [
      { ...one, state: "not-ready" },
      { ...one, of: "b/web" },
    ],
    expected: "choosable",
  },
  {
    name: "not ready in one service, the last of another",
    services: [web, { service: "b/web" }],
    backends: [{ ...one, state: "not-ready" }, two, { ...one, of: "b/web", state: "terminating" }],
    expected: "fallback",
  },
  {
    name: "one of two names of the number is choosable",
    services: [{ ...web, ports: ["x", "y"] }],
    backends: [
      { ...one, ports: { x: 80, y: 80 }, state: "terminating" },
      { ...two, ports: { x: 80 } },
    ],
    expected: "fallback",
  },
  {
    name: "internal Local: the last of its node, ready ones elsewhere",
    services: [{ ...web, internalLocal: true }],
    backends: [
      { ...one, node: "n1", state: "terminating" },
      { ...two, node: "n2" },
    ],
    expected: "fallback",
  },
  {
    name: "external Local: the last of its node, ready ones elsewhere",
    services: [{ ...web, externalLocal: true }],
    backends: [
      { ...one, node: "n1", state: "terminating" },
      { ...two, node: "n2" },
    ],
    expected: "fallback",
  },
  {
    name: "Local: a ready one on its node",
    services: [{ ...web, externalLocal: true }],
    backends: [
      { ...one, node: "n1", state: "terminating" },
      { ...two, node: "n1" },
    ],
    expected: "drained",
  },
  {
    name: "Local, but on no node: in no local set",
    services: [{ ...web, externalLocal: true }],
    backends: [
      { ...one, state: "terminating" },
      { ...two, node: "n2" },
    ],
    expected: "drained",
  },
  {
    name: "Cluster: the last of its node, ready ones elsewhere",
    backends: [
      { ...one, node: "n1", state: "terminating" },
      { ...two, node: "n2" },
    ],
    expected: "drained",
  },
  {
    name: "not ready but for the copy of one node",
    backends: [
      { ...one, node: "n1", state: "not-ready" },
      { ...one, node: "n2", localCopy: true },
    ],
    expected: "choosable",
  },
  {
    name: "ready but for the copy of one node",
    backends: [
      { ...one, node: "n1" },
      { ...one, node: "n2", state: "not-ready", localCopy: true },
    ],
    expected: "choosable",
  },
  {
    name: "terminating beside one that is ready on one node only",
    backends: [
      { ...one, state: "terminating" },
      { ...two, node: "n1", state: "not-ready" },
      { ...two, node: "n2", localCopy: true },
    ],
    expected: "fallback",
  },
  {
    name: "terminating beside one that is not ready on one node",
    backends: [
      { ...one, state: "terminating" },
      { ...two, node: "n1" },
      { ...two, node: "n2", state: "not-ready", localCopy: true },
    ],
    expected: "fallback",
  },
];

const target = { address: address("10.0.0.1"), port: 80 };

for (const { name, services, backends, expected } of cases) {
  test(`a backend is ${expected}: ${name}`, () => {
    const index = new ChoosabilityIndex();
    index.apply(new Commits().commit([...backends.map(backendResource), ...(services ?? [web]).map(serviceResource)]));
    assert.equal(index.of(target).kind, expected);
  });
}

test("follows changes, removals and a service that comes later", () => {
  const index = new ChoosabilityIndex();
  const commits = new Commits();
  const seen: string[] = [];
  const apply = (...of: Parameters<Commits["commit"]>): void => {
    index.apply(commits.commit(...of));
    seen.push(index.of(target).kind);
  };
  apply([backendResource(one)]);
  apply([serviceResource(web)]);
  apply([backendResource({ ...one, state: "terminating" })]);
  apply([backendResource(two)]);
  apply([], [backendResource(two)]);
  apply([], [backendResource(one)]);
  apply([backendResource(one)]);
  apply([], [backendResource(one), serviceResource(web)]);
  assert.deepEqual(seen, ["drained", "choosable", "fallback", "drained", "fallback", "absent", "choosable", "absent"]);
});

test("names the services that a commit touched, removed ones too", () => {
  const index = new ChoosabilityIndex();
  const commits = new Commits();
  assert.deepEqual([...index.apply(commits.commit([serviceResource(web), backendResource(one)])).values()], ["a/web"]);
  assert.deepEqual(
    [...index.apply(commits.commit([backendResource({ ...one, state: "not-ready" })])).values()],
    ["a/web"],
  );
  assert.deepEqual(
    [...index.apply(commits.commit([], [serviceResource(web), backendResource(one)])).values()],
    ["a/web"],
  );
});

test("remembers since when a service no longer holds a backend", () => {
  const index = new ChoosabilityIndex();
  const commits = new Commits();
  const id = resourceId("service", "a/web");
  const held = (since: number): boolean => index.hasHeldSince(id, target, since as Revision);
  index.apply(commits.commit([serviceResource(web), backendResource(one)]));
  assert.equal(held(1), true);
  index.apply(commits.commit([backendResource({ ...one, state: "not-ready" })]));
  index.apply(commits.commit([], [backendResource(one)]));
  assert.deepEqual([held(0), held(2), held(3)], [true, true, false]);
  assert.equal(index.hasHeldSince(resourceId("service", "b/other"), target, 0 as Revision), false);
});
