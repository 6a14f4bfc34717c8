import assert from "node:assert/strict";
import { it } from "node:test";
import { describedAddress } from "./described-cluster.ts";
import type { Frontend } from "./frontend.ts";
import { planLine, planLines } from "./plan-line.ts";
import { Targets } from "./targets.ts";

const frontend: Frontend = {
  address: describedAddress("172.30.0.41"),
  port: 80,
  protocol: "TCP",
  scope: "internal",
  kind: "ClusterIP",
  servicePort: "shop/web:http",
  action: "forward",
  targets: Targets.of([
    { address: describedAddress("10.0.0.9"), port: 8_080 },
    { address: describedAddress("10.0.0.10"), port: 8_080 },
  ]),
  affinitySeconds: 0,
  sourceRanges: undefined,
};

it("prints a line in the contract's key order, backends by text", () => {
  assert.equal(
    planLine(frontend),
    '{"address":"172.30.0.41","port":80,"protocol":"TCP","kind":"ClusterIP","scope":"internal","service":"shop/web:http",' +
      '"action":"forward","backends":["10.0.0.10:8080","10.0.0.9:8080"],"affinitySeconds":0}',
  );
});

it("prints IPv6 backends in brackets and addresses bare", () => {
  const six = {
    ...frontend,
    address: describedAddress("FD00:0::1"),
    targets: Targets.of([{ address: describedAddress("fd00::2"), port: 1 }]),
  };
  assert.match(planLine(six), /^\{"address":"fd00::1",.*"backends":\["\[fd00::2\]:1"\]/);
});

it("sorts by address as text, port as number, protocol, external before internal", () => {
  const variants: readonly Partial<Frontend>[] = [
    { address: describedAddress("172.30.0.5") },
    { port: 443 },
    { scope: "external" },
    { protocol: "SCTP" },
    { port: 8 },
    { protocol: "UDP" },
    { address: describedAddress("fd00::1") },
    {},
  ];
  const lines = planLines(variants.map((variant) => ({ ...frontend, ...variant })));
  const shown = lines.map((line): string => {
    const { address, port, protocol, scope } = JSON.parse(line) as Frontend;
    return `${address} ${port} ${protocol} ${scope}`;
  });
  assert.deepEqual(shown, [
    "172.30.0.41 8 TCP internal",
    "172.30.0.41 80 SCTP internal",
    "172.30.0.41 80 TCP external",
    "172.30.0.41 80 TCP internal",
    "172.30.0.41 80 UDP internal",
    "172.30.0.41 443 TCP internal",
    "172.30.0.5 80 TCP internal",
    "fd00::1 80 TCP internal",
  ]);
});
