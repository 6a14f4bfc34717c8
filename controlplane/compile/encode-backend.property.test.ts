import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { addressBytes } from "@weft/proto/address.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { hash64 } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import fc from "fast-check";
import { BackendResource } from "./backend-resource.ts";
import { endpointRecord } from "./compile-samples.ts";
import { BackendEncoder } from "./encode-backend.ts";
import { nameOfBackend } from "./encode.ts";
import { protocolNumbers } from "./merge-endpoints.ts";
import type { EndpointGroup } from "./merge-endpoints.ts";

const id = fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }) as fc.Arbitrary<ResourceId>;
const idOrNone = fc.oneof(fc.constant(0n), id);
// Up to the lengths at which the length of a message needs two and three bytes.
const ids = fc.oneof(fc.array(id, { maxLength: 3 }), fc.array(id, { minLength: 12, maxLength: 64 }));
const port = fc.record({
  name: fc.oneof(fc.constant(""), fc.stringMatching(/^[a-z0-9][-a-z0-9]{0,14}$/), fc.constant("p".repeat(200))),
  protocol: fc.constantFrom("TCP" as const, "UDP" as const, "SCTP" as const),
  number: fc.integer({ min: 1, max: 65_535 }),
});
const endpoint = fc
  .record({
    ip: fc.oneof(fc.ipV4(), fc.ipV6()),
    isReady: fc.boolean(),
    isServing: fc.boolean(),
    isTerminating: fc.boolean(),
    nodeName: fc.constantFrom("", "n1"),
  })
  .map(({ ip, ...fields }) => endpointRecord(ip, fields));
const group: fc.Arbitrary<EndpointGroup> = fc
  .record({
    endpoint,
    ports: fc.oneof(fc.array(port, { minLength: 1, maxLength: 3 }), fc.array(port, { minLength: 90, maxLength: 100 })),
    isLocalCopy: fc.boolean(),
  })
  .map((of) => ({ ...of, address: of.endpoint.address }));
const references = fc.record({ service: id, node: idOrNone, zone: idOrNone, zoneHints: ids, nodeHints: ids });

test("a Backend is what protobuf-es writes, byte for byte, and says its name", () => {
  // One for all: nothing of a backend may be left in the next one.
  const encoder = new BackendEncoder();
  fc.assert(
    fc.property(id, group, references, (ofBackend, of, refers) => {
      const { isReady, isServing, isTerminating, nodeName } = of.endpoint;
      const ports = of.ports.map((one) => ({ ...one, protocol: protocolNumbers[one.protocol] }));
      const expected = toBinary(
        ResourceSchema,
        create(ResourceSchema, {
          id: ofBackend,
          kind: {
            case: "backend",
            value: {
              ...refers,
              zoneHints: [...refers.zoneHints],
              nodeHints: [...refers.nodeHints],
              address: addressBytes(of.address),
              ports,
              notReady: !isReady,
              notServing: !isServing,
              terminating: isTerminating,
              localCopy: of.isLocalCopy,
            },
          },
        }),
      );
      const body = encoder.encode(of, refers);
      const hash = encoder.hash(ofBackend);
      const localCopyOf = of.isLocalCopy ? nodeName : "";
      const owner = { id: refers.service, name: "a/b" };
      const resource = new BackendResource(ofBackend, body, hash, owner, of.address, localCopyOf);
      assert.deepEqual(resource.bytes, expected);
      assert.equal(resource.bytesLength, expected.length);
      assert.deepEqual(resource.hash, hash64(expected));
      assert.equal(resource.name, nameOfBackend("a/b", of));
    }),
    { numRuns: 500 },
  );
});

test("a port name that is not ASCII is an error, not other bytes", () => {
  const of = { address: endpointRecord("10.0.0.1").address, endpoint: endpointRecord("10.0.0.1"), isLocalCopy: false };
  const refers = { service: 1n as ResourceId, node: 0n, zone: 0n, zoneHints: [], nodeHints: [] };
  const ports = [{ name: "ä", protocol: "TCP", number: 1 } as const];
  assert.throws(() => new BackendEncoder().encode({ ...of, ports }, refers), /ASCII/);
});
