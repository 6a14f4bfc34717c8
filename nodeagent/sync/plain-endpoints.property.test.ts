import assert from "node:assert/strict";
import { it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  BackendSchema,
  Protocol,
  ResourceSchema,
  ServicePortSchema,
} from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Backend } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { resourceId } from "@weft/proto/ids.ts";
import fc from "fast-check";
import { chooseEndpoints, endpointsOf, hasUsable } from "../plan/choose-endpoints.ts";
import { planNode } from "../plan/plan-input.ts";
import { HeldResources } from "./held-resources.ts";
import { keepBytes } from "./kept-bytes.ts";
import { plainEndpoints } from "./plain-endpoints.ts";

const service = resourceId("service", "ns/a");
const node = planNode("n1", "z1", []);
const nodes = [node.id, resourceId("name", "n2"), 0n];
const rarely = (weight: number): fc.Arbitrary<boolean> =>
  fc.oneof({ weight, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });

const address = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom(10, 200), fc.constant(0), fc.nat(1), fc.nat(255)) },
  { weight: 1, arbitrary: fc.constant([0xfd, ...Array.from({ length: 15 }, () => 1)]) },
);
const anyBackend: fc.Arbitrary<Backend> = fc
  .record({
    address: address.map((bytes) => Uint8Array.from(bytes)),
    ports: fc.array(
      fc.record({
        name: fc.constantFrom("", "http", "http", "httq", "h"),
        protocol: fc.constantFrom(Protocol.TCP, Protocol.TCP, Protocol.UDP),
        number: fc.constantFrom(80, 8_080, 65_535),
      }),
      { maxLength: 3 },
    ),
    node: fc.constantFrom(...nodes),
    zone: fc.constantFrom(0n, 7n),
    zoneHints: rarely(60).map((has) => (has ? [node.zone] : [])),
    nodeHints: rarely(60).map((has) => (has ? [node.id] : [])),
    notReady: rarely(60),
    terminating: rarely(60),
    localCopy: rarely(60),
  })
  .map((value) => create(BackendSchema, { service, ...value }));
const anyPort = fc
  .record({ name: fc.constantFrom("", "http", "h"), protocol: fc.constantFrom(Protocol.TCP, Protocol.UDP) })
  .map((value) => create(ServicePortSchema, { ...value, port: 80 }));
const encode = (backend: Backend, i: number): Uint8Array =>
  toBinary(ResourceSchema, create(ResourceSchema, { id: BigInt(i + 1), kind: { case: "backend", value: backend } }));

function held(all: readonly Uint8Array[]): HeldResources {
  const resources = new HeldResources();
  for (const [i, bytes] of all.entries())
    resources.set(BigInt(i + 1) as ResourceId, { kind: "backend", bytes: keepBytes(bytes), service });
  return resources;
}

it("chooses as the whole way by decoded backends does, or leaves it to that", () => {
  let answered = 0;
  let isLocalSeen = false;
  fc.assert(
    fc.property(
      fc.array(anyBackend, { minLength: 1, maxLength: 12 }),
      anyPort,
      fc.constantFrom(...nodes),
      (backends, port, id) => {
        const here = { ...node, id };
        const resources = held(backends.map(encode));
        const owner = resources.owner(service);
        assert.ok(owner !== undefined);
        const plain = plainEndpoints(resources, owner, port, id);
        if (plain === undefined) return;
        answered++;
        const endpoints = endpointsOf(backends, port, 4, here);
        const whole = chooseEndpoints(endpoints, here);
        assert.deepEqual([...plain.cluster], [...whole.cluster]);
        assert.deepEqual([...plain.local], [...whole.local]);
        assert.equal(plain.cluster.length > 0, hasUsable(endpoints));
        assert.equal(plain.cluster === plain.local, whole.cluster === whole.local);
        isLocalSeen ||= plain.local.length > 0 && plain.local.length < plain.cluster.length;
      },
    ),
    { numRuns: 3_000 },
  );
  assert.ok(answered > 600 && isLocalSeen, `${answered} answers`);
});

it("leaves damaged and oddly encoded backends alone", () => {
  const port = create(ServicePortSchema, { name: "http", protocol: Protocol.TCP, port: 80 });
  const bytes = encode(
    create(BackendSchema, {
      service,
      address: Uint8Array.of(10, 0, 0, 1),
      ports: [{ name: "http", protocol: Protocol.TCP, number: 80 }],
      node: 1n,
    }),
    0,
  );
  const answerOf = (all: readonly Uint8Array[]): readonly unknown[] | undefined => {
    const resources = held(all);
    const owner = resources.owner(service);
    assert.ok(owner !== undefined);
    const plain = plainEndpoints(resources, owner, port, 1n);
    return plain && [...plain.cluster];
  };
  assert.deepEqual(answerOf([bytes]), [{ address: "10.0.0.1", port: 80 }]);
  assert.equal(answerOf([bytes, bytes]), undefined, "one endpoint twice");
  for (let length = 0; length < bytes.length; length++)
    assert.equal(answerOf([bytes.subarray(0, length)]), undefined, `cut at ${length}`);
  const body = bytes.subarray(11);
  const withBody = (...parts: readonly (readonly number[] | Uint8Array)[]): Uint8Array => {
    const whole = parts.flatMap((part) => [...part]);
    return Uint8Array.from([...bytes.subarray(0, 10), whole.length, ...whole]);
  };
  assert.notEqual(answerOf([withBody(body)]), undefined);
  assert.equal(answerOf([withBody(body, [0x12, 4, 10, 0, 0, 2])]), undefined, "a second address");
  assert.equal(
    answerOf([withBody(body.subarray(0, 9), body.subarray(15), body.subarray(9, 15))]),
    undefined,
    "ports first",
  );
  assert.equal(answerOf([withBody(body, [0x7a, 1, 1])]), undefined, "an unknown field");
});
