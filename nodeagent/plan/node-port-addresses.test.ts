import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describedAddress } from "./described-cluster.ts";
import { nodePortAddresses, parseNodePortSelector } from "./node-port-addresses.ts";

const addresses = ["10.9.0.1", "10.9.0.2", "192.0.2.9", "2001:db8:9::1", "2001:db8:8::1"];

const cases: readonly { readonly given: readonly string[]; readonly selected: readonly string[] }[] = [
  { given: [], selected: addresses },
  { given: ["primary"], selected: ["10.9.0.1", "2001:db8:9::1"] },
  { given: ["loopback"], selected: [...addresses, "127.0.0.1"] },
  { given: ["primary", "loopback"], selected: ["10.9.0.1", "2001:db8:9::1", "127.0.0.1"] },
  { given: ["10.9.0.2/32"], selected: ["10.9.0.2", "2001:db8:9::1", "2001:db8:8::1"] },
  { given: [" 010.9.0.7/16 ", "2001:db8:8::/48"], selected: ["10.9.0.1", "10.9.0.2", "2001:db8:8::1"] },
  { given: ["198.51.100.0/24", "2001:db8:7::/48"], selected: [] },
  { given: ["primary", "192.0.2.0/24"], selected: ["10.9.0.1", "192.0.2.9", "2001:db8:9::1"] },
  { given: ["0.0.0.0/0", "::/0"], selected: addresses },
];

describe("S8: --nodeport-addresses", () => {
  for (const { given, selected } of cases) {
    it(`${given.join(",") || "not given"} selects ${selected.length}`, () => {
      const selectors = given.map((text) => {
        const parsed = parseNodePortSelector(text);
        assert.ok(parsed.ok, text);
        return parsed.value;
      });
      assert.deepEqual(nodePortAddresses(addresses.map(describedAddress), selectors), selected);
    });
  }

  it("refuses what is neither a word nor a range", () => {
    for (const text of ["", "Primary", "10.0.0.1", "10.0.0.0/33", "all"]) {
      assert.equal(parseNodePortSelector(text).ok, false, text);
    }
  });
});
