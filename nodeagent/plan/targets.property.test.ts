import assert from "node:assert/strict";
import { it } from "node:test";
import { addressFromBytes, mappedBytes } from "@weft/proto/address.ts";
import fc from "fast-check";
import { Targets, type Target } from "./targets.ts";

const ipv4 = fc.tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.integer({ min: 1, max: 65_535 }));
const ipv6 = fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 1, max: 65_535 }));
const targetOf = ([bytes, port]: readonly [Uint8Array, number]): Target => ({ address: addressFromBytes(bytes), port });
const lists = fc.oneof(
  fc.array(ipv4.map(targetOf), { maxLength: 40 }),
  fc.array(ipv6.map(targetOf), { maxLength: 40 }),
  fc.array(fc.oneof(ipv4, ipv6).map(targetOf), { maxLength: 40 }),
);
const stride = 24;

it("a list says what it was made of, by index, in order and mapped", () => {
  fc.assert(
    fc.property(lists, (list) => {
      const targets = Targets.of(list);
      assert.equal(targets.length, list.length);
      assert.deepEqual([...targets], list);
      assert.deepEqual(
        targets.map(({ port }) => port),
        list.map(({ port }) => port),
      );
      for (const [i, target] of list.entries()) assert.deepEqual(targets.at(i), target);
      assert.throws(() => targets.at(list.length), /no target/);
    }),
  );
});

it("lists are equal if and only if all their targets are", () => {
  fc.assert(
    fc.property(lists, lists, fc.nat(), (list, other, at) => {
      const targets = Targets.of(list);
      assert.ok(targets.equals(Targets.of(structuredClone(list))));
      assert.equal(targets.equals(Targets.of(other)), isSame(list, other));
      if (list.length === 0) return;
      const changed = list.map((of, i) => (i === at % list.length ? { ...of, port: (of.port % 65_535) + 1 } : of));
      assert.ok(!targets.equals(Targets.of(changed)));
      assert.ok(!targets.equals(Targets.of(list.slice(1))));
    }),
  );
  // Nine of 6 bytes are as long as three of 18.
  const nine = Targets.of(Array.from({ length: 9 }, () => targetOf([new Uint8Array(4), 0])));
  const three = Targets.of(Array.from({ length: 3 }, () => targetOf([new Uint8Array(16), 0])));
  assert.ok(!nine.equals(three));
});

it("what is written for the kernel is read again, and nothing else is written", () => {
  fc.assert(
    fc.property(lists, (list) => {
      const targets = Targets.of(list);
      const bytes = new Uint8Array(8 + list.length * stride).fill(0xa5);
      for (let i = 0; i < list.length; i++) targets.writeMapped(i, bytes, 8 + i * stride);
      assert.ok(Targets.fromMapped(bytes, 8, list.length, stride).equals(targets));
      for (const [i, { address, port }] of list.entries()) {
        const written = bytes.subarray(8 + i * stride, 8 + (i + 1) * stride);
        assert.deepEqual(written.subarray(0, 16), mappedBytes(address));
        assert.deepEqual([...written.subarray(16)], [port >> 8, port & 255, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5]);
      }
    }),
  );
});

it("a list is the same from numbers", () => {
  fc.assert(
    fc.property(fc.array(ipv4, { maxLength: 40 }), (list) => {
      const keys = new Float64Array(64);
      for (const [i, [bytes, port]] of list.entries())
        keys[i] = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) * 65_536 + port;
      assert.ok(Targets.ofIPv4(keys, list.length).equals(Targets.of(list.map(targetOf))));
    }),
  );
});

function isSame(a: readonly Target[], b: readonly Target[]): boolean {
  return a.length === b.length && a.every(({ address, port }, i) => b[i]?.address === address && b[i]?.port === port);
}
