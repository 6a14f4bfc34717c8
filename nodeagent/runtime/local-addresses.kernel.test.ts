import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, it } from "node:test";

const namespace = `weft-local-${process.pid}`;
const module = new URL("local-addresses.ts", import.meta.url).href;
const print = `import(${JSON.stringify(module)}).then((m) => console.log(JSON.stringify([...m.localAddresses()].toSorted())))`;

const ip = (...argv: readonly string[]): void => void execFileSync("ip", ["-n", namespace, ...argv]);

function found(): unknown {
  const argv = ["netns", "exec", namespace, process.execPath, "-e", print];
  return JSON.parse(execFileSync("ip", argv, { encoding: "utf8" }));
}

const skip = process.getuid?.() === 0 ? false : "needs root";

if (skip === false) {
  before(() => {
    execFileSync("ip", ["netns", "add", namespace]);
    ip("link", "set", "lo", "up");
    ip("link", "add", "dns0", "type", "veth", "peer", "name", "peer0");
  });
  after(() => execFileSync("ip", ["netns", "del", namespace]));
}

it(
  "S32: finds addresses of a device that is down, as NodeLocal DNSCache leaves it, and none of loopback",
  { skip },
  () => {
    ip("addr", "add", "172.30.0.10/32", "dev", "dns0");
    ip("addr", "add", "fd00::10/128", "dev", "dns0");
    assert.deepEqual(found(), ["172.30.0.10", "fd00::10"]);
  },
);

it("S32: leaves out those of kube-ipvs0", { skip }, () => {
  ip("link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "peer1");
  ip("addr", "add", "172.30.0.11/32", "dev", "kube-ipvs0");
  ip("addr", "add", "fd00::11/128", "dev", "kube-ipvs0");
  ip("link", "set", "peer0", "up");
  ip("link", "set", "dns0", "up");
  ip("link", "set", "peer1", "up");
  ip("link", "set", "kube-ipvs0", "up");
  const addresses = found();
  assert.ok(Array.isArray(addresses));
  assert.deepEqual(
    addresses.filter((address) => !String(address).startsWith("fe80:")),
    ["172.30.0.10", "fd00::10"],
  );
});
