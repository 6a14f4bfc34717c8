import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  addressBytes,
  addressFromBytes,
  compareBytes,
  compareText,
  copyAddressBytes,
  familyOf,
  mappedBytes,
  parseAddress,
  parsePrefix,
  parseSocketAddress,
  prefixContains,
  prefixFromBytes,
  printPrefix,
  printSocketAddress,
} from "./address.ts";

// RFC 5952 sections 1, 2 and 4, and the forms that Kubernetes objects have been seen to hold.
const canonical: readonly (readonly [given: string, printed: string])[] = [
  ["10.0.0.1", "10.0.0.1"],
  ["172.30.0.041", "172.30.0.41"],
  ["010.000.000.001", "10.0.0.1"],
  ["  10.0.0.1\n", "10.0.0.1"],
  ["255.255.255.255", "255.255.255.255"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8::1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8::0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:0db8::1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8:0:0:1::1", "2001:db8::1:0:0:1"],
  ["2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"],
  ["2001:db8::0001", "2001:db8::1"],
  ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
  ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:aaaa:bbbb:cccc:dddd:eeee:AAAA", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa"],
  ["::", "::"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["1::", "1::"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["::ffff:10.0.0.1", "10.0.0.1"],
  ["::FFFF:0a00:0001", "10.0.0.1"],
  ["0:0:0:0:0:ffff:10.0.0.1", "10.0.0.1"],
  ["::10.0.0.1", "::a00:1"],
];

const noAddress = [
  "",
  " ",
  "10.0.0",
  "10.0.0.1.2",
  "10.0.0.256",
  "10.0.0.-1",
  "10.0.0.0x1",
  "10.0.0.1/8",
  "1e1.0.0.1",
  "10.0.0.00001",
  "10.0.0.1.",
  ".10.0.0.1",
  "10..0.1",
  "10.0.0.\u0661",
  "10 .0.0.1",
  ":",
  ":::",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1::2::3",
  "1:2:3:4:5:6:7::8:9",
  "12345::",
  "g::",
  "fe80::1%eth0",
  ":1::",
  "1:",
  "::10.0.0.256",
  "10.0.0.1::",
  "::10.0.0.1:1",
  "[::1]",
  "web.example",
  "1:2:3:4:5:6:7:1.2.3.4",
];

const prefixes: readonly (readonly [given: string, printed: string | undefined])[] = [
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["10.1.2.3/8", "10.0.0.0/8"],
  ["203.0.113.000/025", "203.0.113.0/25"],
  ["203.0.113.255/25", "203.0.113.128/25"],
  [" 10.0.0.0 / 8 ", "10.0.0.0/8"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["10.0.0.1/32", "10.0.0.1/32"],
  ["2001:DB8::1/32", "2001:db8::/32"],
  ["::/0", "::/0"],
  ["fd00::1/128", "fd00::1/128"],
  ["::ffff:10.0.0.0/104", "10.0.0.0/8"],
  ["::ffff:10.0.0.1/128", "10.0.0.1/32"],
  ["::ffff:10.0.0.1/96", "0.0.0.0/0"],
  ["::ffff:10.0.0.1/95", "::fffe:0:0/95"],
  ["::ffff:10.0.0.0/90", "::ffc0:0:0/90"],
  ["10.0.0.0", undefined],
  ["10.0.0.0/33", undefined],
  ["10.0.0.0/-1", undefined],
  ["10.0.0.0/8/8", undefined],
  ["10.0.0.0/255.0.0.0", undefined],
  ["fd00::/129", undefined],
  ["/8", undefined],
  ["", undefined],
];

describe("addresses", () => {
  for (const [given, printed] of canonical) {
    test(`${JSON.stringify(given)} is ${printed}`, () => {
      const address = parseAddress(given);
      assert.equal(address, printed);
      assert.ok(address !== undefined);
      assert.equal(addressFromBytes(addressBytes(address)), address);
      assert.equal(addressFromBytes(mappedBytes(address)), address);
      assert.equal(addressBytes(address).length, familyOf(address) === 4 ? 4 : 16);
    });
  }
  for (const given of noAddress)
    test(`${JSON.stringify(given)} is no address`, () => assert.equal(parseAddress(given), undefined));

  test("other numbers of bytes are no address", () => {
    for (const length of [0, 3, 5, 15, 17]) assert.throws(() => addressFromBytes(new Uint8Array(length)), RangeError);
  });
});

describe("prefixes", () => {
  for (const [given, printed] of prefixes) {
    test(`${JSON.stringify(given)} is ${printed ?? "no prefix"}`, () => {
      const prefix = parsePrefix(given);
      assert.equal(prefix === undefined ? undefined : printPrefix(prefix), printed);
    });
  }

  const membership: readonly (readonly [prefix: string, address: string, isIn: boolean])[] = [
    ["10.0.0.0/8", "10.255.255.255", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["203.0.113.128/25", "203.0.113.127", false],
    ["203.0.113.128/25", "203.0.113.128", true],
    ["203.0.113.128/25", "203.0.113.255", true],
    ["10.0.0.1/32", "10.0.0.1", true],
    ["10.0.0.1/32", "10.0.0.2", false],
    ["0.0.0.0/0", "255.255.255.255", true],
    ["0.0.0.0/0", "::1", false],
    ["::/0", "10.0.0.1", false],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
  ];
  for (const [prefix, address, isIn] of membership) {
    test(`${prefix} ${isIn ? "contains" : "does not contain"} ${address}`, () => {
      const [range, member] = [parsePrefix(prefix), parseAddress(address)];
      assert.ok(range !== undefined && member !== undefined);
      assert.equal(prefixContains(range, member), isIn);
    });
  }

  test("lengths that do not fit the family are refused", () => {
    assert.throws(() => prefixFromBytes(new Uint8Array(4), 33), RangeError);
    assert.throws(() => prefixFromBytes(new Uint8Array(4), -1), RangeError);
  });
});

test("bytes are written where they are asked for, and nowhere else", () => {
  for (const [text, length] of [
    ["10.0.0.255", 4],
    ["fd00::1", 16],
    ["::", 16],
  ] as const) {
    const address = parseAddress(text) ?? assert.fail(text);
    const target = new Uint8Array(24).fill(7);
    assert.equal(copyAddressBytes(address, target, 3), length);
    const expected = [...new Uint8Array(3).fill(7), ...addressBytes(address), ...new Uint8Array(21 - length).fill(7)];
    assert.deepEqual([...target], expected);
  }
});

describe("socket addresses", () => {
  const socketAddresses: readonly (readonly [given: string, printed: string | undefined])[] = [
    ["10.0.0.1:80", "10.0.0.1:80"],
    ["[fd00:0::1]:80", "[fd00::1]:80"],
    ["[::ffff:10.0.0.1]:80", "10.0.0.1:80"],
    ["010.0.0.1:080", "10.0.0.1:80"],
    ["10.0.0.1", undefined],
    ["fd00::1:80", undefined],
    ["10.0.0.1:0", undefined],
    ["10.0.0.1:65536", undefined],
    ["10.0.0.1:", undefined],
    [":80", undefined],
    ["web:80", undefined],
  ];
  for (const [given, printed] of socketAddresses) {
    test(`"${given}" is ${printed ?? "none"}`, () => {
      const parsed = parseSocketAddress(given);
      assert.equal(parsed === undefined ? undefined : printSocketAddress(parsed.address, parsed.port), printed);
    });
  }
});

test("bytes are ordered with IPv4 first, text by code units", () => {
  const ordered = ["2.0.0.0", "10.0.0.1", "::1", "fd00::"].map((text) =>
    addressBytes(parseAddress(text) ?? assert.fail(text)),
  );
  assert.deepEqual(ordered.toReversed().toSorted(compareBytes), ordered);
  assert.deepEqual(["b", "a", "B", "\u00e4", "10", "9"].toSorted(compareText), ["10", "9", "B", "a", "b", "\u00e4"]);
});
