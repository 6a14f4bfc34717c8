import assert from "node:assert/strict";
import { test } from "node:test";
import { callsAt, calledServices, proxiedServices, sizes } from "./calls.ts";
import type { Size } from "./calls.ts";
import { connectRows } from "./rows.ts";
import type { WayTimes } from "./rows.ts";

const [tcp] = callsAt(100);

function times(way: string, bySize: Partial<Record<Size, number>>): WayTimes[] {
  assert.ok(tcp !== undefined);
  return sizes.flatMap((size) => {
    const us = bySize[size];
    return us === undefined ? [] : [{ way, size, call: tcp, us: [us] }];
  });
}

test("each number of services beside direct and each peer; flatness beside direct of the same minute", () => {
  const rows = connectRows([
    ...times("direct", { 100: 20, 1_000: 10, 10_000: 10 }),
    ...times("weft", { 100: 21, 1_000: 10.5, 10_000: 12 }),
    ...times("nft", { 100: 30, 10_000: 15 }),
  ]);
  assert.deepEqual(
    rows.map(({ peer, goal }) => [peer?.name, peer?.value, goal?.isMet]),
    [
      ["direct", 20, true],
      ["nft", 30, undefined],
      ["direct", 10, true],
      ["direct", 10, false],
      ["nft", 15, undefined],
      ["with 100", 1.05, false],
    ],
  );
});

test("every service that is called is there, and leads to the pods", () => {
  const pods = [{ IPv4: "10.244.1.11", IPv6: "fd00:244:1::11" }];
  for (const size of sizes) {
    const services = calledServices(size);
    assert.equal(new Set(services).size, services.length);
    const rules = proxiedServices(size, "IPv6", pods);
    for (const service of services) {
      assert.ok(service < size);
      const ports = rules.filter(({ name }) => name === `service-${service}`);
      assert.deepEqual(
        ports.map(({ protocol, endpoints }) => [protocol, endpoints]),
        ["tcp", "udp"].map((protocol) => [protocol, [{ address: "fd00:244:1::11", port: 8_080 }]]),
      );
    }
  }
});
