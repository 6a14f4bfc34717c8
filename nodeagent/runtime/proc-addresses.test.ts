import assert from "node:assert/strict";
import { it } from "node:test";
import { fibTrieAddresses, ifInet6Addresses } from "./proc-addresses.ts";

it("finds the IPv4 addresses of all devices in fib_trie, each once", () => {
  const text = `Main:
  +-- 0.0.0.0/0 2 0 2
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 10.0.0.0
        /24 link UNICAST
     |-- 172.30.0.10
        /32 host LOCAL
Local:
     |-- 172.30.0.10
        /32 host LOCAL
`;
  assert.deepEqual([...fibTrieAddresses(text)], ["127.0.0.1", "172.30.0.10"]);
  assert.deepEqual([...fibTrieAddresses("")], []);
});

it("finds IPv6 addresses and their devices in if_inet6", () => {
  const text =
    "00000000000000000000000000000001 01 80 10 80       lo\nfd000099000000000000000000000009 03 80 00 c0     wx1a\n\n";
  assert.deepEqual(ifInet6Addresses(text), [
    { address: "::1", device: "lo" },
    { address: "fd00:99::9", device: "wx1a" },
  ]);
  assert.deepEqual(ifInet6Addresses("nonsense\n"), []);
});
