import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Protocol } from "./gen/weft/discovery/v1/resource_pb.ts";
import { backendName, receivedId, resourceId } from "./ids.ts";

// From `printf 'service\0default/web' | sha256sum | cut -c1-16` and the like.
const known: readonly (readonly [kind: "service" | "backend" | "name", name: string, id: bigint])[] = [
  ["service", "default/web", 0xb597_55d8_70bd_d3a3n],
  ["backend", "default/web", 0xa721_bd65_a90c_5244n],
  ["name", "node-1", 0xe262_2014_6448_06ban],
];

describe("resource ids", () => {
  for (const [kind, name, id] of known) {
    test(`of ${kind} ${name} are the first 8 bytes of SHA-256 over kind, NUL, name`, () =>
      assert.equal(resourceId(kind, name), id));
  }

  test("a backend's name has its ports in order", () => {
    const ports = [
      { name: "dns", protocol: Protocol.UDP, number: 53 },
      { name: "", protocol: Protocol.TCP, number: 80 },
    ];
    assert.equal(backendName("ns/svc", "10.0.0.1", ports), "ns/svc\u000010.0.0.1\u00002/53/dns\u00001/80/");
    assert.equal(backendName("ns/svc", "fd00::1", []), "ns/svc\u0000fd00::1");
    assert.equal(backendName("ns/svc", "fd00::1", ports.slice(1), "n1"), "ns/svc\u0000fd00::1\u00001/80/\u0000@n1");
  });

  test("received ids are 64 bits and not 0", () => {
    assert.equal(receivedId(2n ** 64n - 1n), 2n ** 64n - 1n);
    for (const value of [0n, -1n, 2n ** 64n]) assert.throws(() => receivedId(value), RangeError);
  });
});
