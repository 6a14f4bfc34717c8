import assert from "node:assert/strict";
import { test } from "node:test";
import { iptablesChange, iptablesTables } from "./iptables-rules.ts";
import { nftablesChange, nftablesTable } from "./nftables-rules.ts";
import type { ProxiedService, RuleFamily } from "./proxied-service.ts";

const web: ProxiedService = {
  namespace: "shop",
  name: "web",
  portName: "http",
  protocol: "tcp",
  address: "10.96.0.7",
  port: 80,
  endpoints: [
    { address: "10.244.1.11", port: 8080 },
    { address: "10.244.2.11", port: 8080 },
  ],
};
const dns: ProxiedService = {
  namespace: "kube-system",
  name: "dns",
  portName: "",
  protocol: "udp",
  address: "fd00:96::a",
  port: 53,
  endpoints: [{ address: "fd00:244::1", port: 5353 }],
};

const nftLines: readonly {
  readonly family: RuleFamily;
  readonly of: ProxiedService;
  readonly lines: readonly RegExp[];
}[] = [
  {
    family: 4,
    of: web,
    lines: [
      /^add rule ip kube-proxy service-\w{8}-shop\/web\/tcp\/http meta l4proto tcp dnat ip addr \. port to numgen random mod 2 map \{ 0 : 10\.244\.1\.11 \. 8080 , 1 : 10\.244\.2\.11 \. 8080 \}$/m,
      /^add element ip kube-proxy service-ips \{ 10\.96\.0\.7 \. tcp \. 80 : goto service-\w{8}-shop\/web\/tcp\/http \}$/m,
      /^add element ip kube-proxy cluster-ips \{ 10\.96\.0\.7 \}$/m,
    ],
  },
  {
    family: 6,
    of: dns,
    lines: [
      // A map of one costs more than none: kube-proxy writes none.
      /^add rule ip6 kube-proxy service-\w{8}-kube-system\/dns\/udp\/ meta l4proto udp dnat to \[fd00:244::1\]:5353$/m,
      /^add element ip6 kube-proxy service-ips \{ fd00:96::a \. udp \. 53 : goto /m,
    ],
  },
];

for (const { family, of, lines } of nftLines) {
  test(`nftables rules of ${of.namespace}/${of.name}`, () => {
    const table = nftablesTable(family, [of]);
    for (const line of lines) assert.match(table, line);
  });
}

test("an nftables change flushes and fills the chains of the services that changed, and nothing else", () => {
  const verbs = nftablesChange(4, [web])
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" ").slice(0, 2).join(" "));
  assert.deepEqual(verbs, ["add chain", "flush chain", "add rule"]);
  const other = { ...web, endpoints: [{ address: "10.244.3.11", port: 8080 }] };
  const chains = [web, other].map((service) => nftablesChange(4, [service]).split("\n")[0]);
  assert.equal(chains[0], chains[1], "the chain is that of the service, whatever its endpoints are");
});

test("iptables rules: one for each service, a chain for it, and one for each endpoint", () => {
  const input = iptablesTables(4, [web]);
  const chain = /^-A KUBE-SERVICES .*-d 10\.96\.0\.7 --dport 80 -j (KUBE-SVC-\w{16})$/m.exec(input)?.[1] ?? "none";
  const [first, second] = [...input.matchAll(new RegExp(`^-A ${chain}(.*) -j (KUBE-SEP-\\w{16})$`, "gm"))];
  assert.match(first?.[1] ?? "", /--probability 0\.5000000000$/);
  assert.equal(second?.[1], "", "the last endpoint takes what is left");
  for (const [i, address] of ["10.244.1.11", "10.244.2.11"].entries()) {
    const of = [first, second][i]?.[2] ?? "none";
    assert.match(input, new RegExp(`^-A ${of} -m tcp -p tcp -j DNAT --to-destination ${address}:8080$`, "m"));
    assert.match(input, new RegExp(`^:${of} - \\[0:0\\]$`, "m"));
  }
});

test("an iptables change writes every service's rule, but only the chains of those that changed", () => {
  const other = { ...web, name: "api", address: "10.96.0.8" };
  const input = iptablesChange(4, [web, other], [other]);
  assert.equal([...input.matchAll(/^-A KUBE-SERVICES .*-j KUBE-SVC-/gm)].length, 2);
  assert.equal([...input.matchAll(/^:KUBE-SVC-/gm)].length, 1);
  assert.equal([...input.matchAll(/^:KUBE-SEP-/gm)].length, 2);
  assert.doesNotMatch(input, /^-A (?:OUTPUT|PREROUTING|INPUT|FORWARD) /m, "the jumps are there already");
});

test("IPv6 endpoints are in brackets", () => {
  assert.match(iptablesTables(6, [dns]), /--to-destination \[fd00:244::1\]:5353$/m);
});
