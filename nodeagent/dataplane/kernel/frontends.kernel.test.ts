import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { parsePrefix } from "@weft/proto/address.ts";
import type { FrontendKind } from "../../plan/frontend.ts";
import type { ServicePlan } from "../dataplane.ts";
import { kernelTestsSkipped } from "./testing/kernel-lab.ts";
import { addressOf, bothProtocols, clusterIp, goneService } from "./testing/plans.ts";
import { SocketStage, type From } from "./testing/socket-stage.ts";

const sources = ["pod", "host"] as const;

/** A service port on an address that undefined ports of are not ours. */
function frontendOn(
  name: string,
  ip: string,
  port: number,
  kind: FrontendKind,
  targets: readonly string[],
): ServicePlan {
  return { ...bothProtocols(clusterIp(name, ip, targets, { kind, port })), rejectAddresses: [] };
}

describe("frontends of every kind, from pods and from the node", { skip: kernelTestsSkipped() }, () => {
  let stage: SocketStage;
  before(async () => {
    stage = await SocketStage.make();
  });
  after(() => stage[Symbol.asyncDispose]());

  const tcp = (from: From, address: string, port: number) => stage.answer(from, { call: "tcp", address, port });

  it("forwards TCP and UDP of each kind in both families", async () => {
    const kinds: readonly (readonly [FrontendKind, string, string, number])[] = [
      ["ClusterIP", "172.30.1.1", "fd00::1:1", 80],
      ["ExternalIP", "198.51.100.1", "2001:db8::1", 81],
      ["LoadBalancerIP", "203.0.113.1", "2001:db8::2", 82],
      ["NodePort", "192.0.2.10", "2001:db8::10", 30_080],
    ];
    await stage.apply(
      kinds.flatMap(([kind, four, six, port], i) => [
        frontendOn(`a/four${i}`, four, port, kind, ["127.0.0.2:28101"]),
        frontendOn(`a/six${i}`, six, port, kind, ["[::1]:28103"]),
      ]),
    );
    for (const from of sources) {
      for (const [kind, four, six, port] of kinds) {
        assert.equal(await tcp(from, four, port), "127.0.0.2:28101", `${kind} from the ${from}`);
        assert.equal(await tcp(from, six, port), "::1:28103", `${kind} from the ${from}`);
        for (const call of ["udpConnected", "udp"] as const) {
          const seen = await stage.see(from, { call, socket: port, address: four, port });
          assert.equal(seen.answer, "127.0.0.2:28101", `${kind} from the ${from}, ${call}`);
          assert.equal(seen.from, `${four}:${port}`);
        }
      }
    }
  });

  it("leaves undefined ports of all but ClusterIPs alone", async () => {
    await stage.apply([frontendOn("a/node", "127.0.0.2", 30_081, "NodePort", ["127.0.0.3:28101"])]);
    assert.equal(await tcp("host", "127.0.0.2", 28_101), "127.0.0.2:28101");
  });

  it("serves a loopback NodePort to the node, and leaves a pod's own loopback to the pod", async () => {
    await stage.apply([
      frontendOn("a/loopback", "127.0.0.1", 30_082, "NodePort", ["127.0.0.3:28101"]),
      frontendOn("a/own", "127.0.0.2", 28_102, "NodePort", ["127.0.0.3:28101"]),
    ]);
    assert.equal(await tcp("host", "127.0.0.1", 30_082), "127.0.0.3:28101");
    assert.equal(await tcp("pod", "127.0.0.1", 30_082), "ECONNREFUSED", "nothing listens there in the pod");
    const own = { address: "127.0.0.2", port: 28_102 };
    assert.equal(await stage.answer("pod", { call: "tcp", ...own }), "127.0.0.2:28102");
    assert.equal(await stage.answer("pod", { call: "udp", socket: 900, ...own }), "127.0.0.2:28102");
    assert.equal(await stage.answer("host", { call: "udp", socket: 900, ...own }), "127.0.0.3:28101");
    await stage.apply([goneService("a/own"), goneService("a/loopback")]);
  });

  it("refuses and drops on every kind at once", async () => {
    const refusing = (kind: FrontendKind, ip: string, action: "reject" | "drop"): ServicePlan => {
      const plan = clusterIp(`a/${kind}-${action}`, ip, [], { kind, action });
      return { ...plan, rejectAddresses: [] };
    };
    const kinds: readonly FrontendKind[] = ["ExternalIP", "LoadBalancerIP", "NodePort"];
    await stage.apply(
      kinds.flatMap((kind, i) => [
        refusing(kind, `198.51.100.${i + 10}`, "reject"),
        refusing(kind, `198.51.100.${i + 20}`, "drop"),
      ]),
    );
    for (const from of sources) {
      for (let i = 0; i < kinds.length; i++) {
        assert.equal(await tcp(from, `198.51.100.${i + 10}`, 80), "ECONNREFUSED");
        assert.equal(await tcp(from, `198.51.100.${i + 20}`, 80), "EHOSTUNREACH");
      }
    }
  });

  it("passes a local ClusterIP while it is one: nothing forwarded, rejected or dropped", async () => {
    // 127.0.0.3 stands for an address on a device of the node, where something listens on port 28101.
    const ip = "127.0.0.3";
    const address = addressOf(ip);
    const served = clusterIp("a/dns", ip, ["127.0.0.2:28102"], { port: 28_101 });
    const passed = { ...goneService("a/dns"), passAddresses: [address] };
    const external = clusterIp("a/outside", ip, ["127.0.0.2:28102"], { kind: "ExternalIP", port: 53 });
    const serviceCidrs = ["127.0.0.3/32"].map((text) => parsePrefix(text)).filter((prefix) => prefix !== undefined);
    await stage.apply([served], { serviceCidrs });
    assert.equal(await tcp("host", ip, 28_101), "127.0.0.2:28102");
    assert.equal(await tcp("host", ip, 9), "ECONNREFUSED", "an undefined port");
    await stage.apply([passed, { ...external, rejectAddresses: [] }]);
    assert.equal(await tcp("host", ip, 28_101), "127.0.0.3:28101", "the device's own listener");
    assert.equal(await tcp("host", ip, 53), "127.0.0.2:28102", "another kind on that address");
    await stage.apply([goneService("a/dns")]);
    assert.equal(await tcp("host", ip, 28_101), "EHOSTUNREACH", "the service CIDR has it again");
    await stage.apply([passed]);
    assert.equal(await tcp("host", ip, 28_101), "127.0.0.3:28101");
    await stage.apply([served]);
    assert.equal(await tcp("host", ip, 28_101), "127.0.0.2:28102");
    await stage.apply([goneService("a/dns"), goneService("a/outside")], { serviceCidrs: [] });
  });
});
