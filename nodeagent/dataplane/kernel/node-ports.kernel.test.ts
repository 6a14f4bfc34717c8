import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { createLog } from "@weft/proto/program/log.ts";
import type { ServicePlan } from "../dataplane.ts";
import { kernelTestsSkipped } from "./testing/kernel-lab.ts";
import { clusterIp, goneService } from "./testing/plans.ts";
import { SocketStage, type From } from "./testing/socket-stage.ts";

const waitMsMax = 5_000;

describe("NodePorts that host processes bind", { skip: kernelTestsSkipped() }, () => {
  let stage: SocketStage;
  const log: string[] = [];
  before(async () => {
    const write = (line: string) => void log.push(line);
    stage = await SocketStage.make({ log: createLog({ logLevel: "info", logFormat: "text", write }) });
  });
  after(() => stage[Symbol.asyncDispose]());

  // Served on two addresses, as on a node with two.
  const nodePort = (name: string, port: number, protocol: "TCP" | "UDP"): ServicePlan => {
    const [a, b] = ["192.0.2.12", "127.0.0.4"].map((ip) =>
      clusterIp(name, ip, ["127.0.0.2:28101"], { kind: "NodePort", port, protocol }),
    );
    return {
      service: name,
      frontends: [...(a?.frontends ?? []), ...(b?.frontends ?? [])],
      rejectAddresses: [],
      passAddresses: [],
    };
  };
  const bind = async (from: From, protocol: "TCP" | "UDP", address: string, port: number) =>
    (await stage.see(from, { call: "bind", protocol, address, port })).error ?? "bound";

  it("refuses them to host processes on any address and on those that serve them, and to nobody else", async () => {
    await stage.apply([nodePort("a/web", 30_101, "TCP"), nodePort("a/dns", 30_102, "UDP")]);
    const taken = "EADDRINUSE";
    const cases: readonly (readonly [From, "TCP" | "UDP", string, number, string])[] = [
      ["host", "TCP", "0.0.0.0", 30_101, taken],
      ["host", "TCP", "::", 30_101, taken],
      ["host", "TCP", "127.0.0.4", 30_101, taken],
      ["host", "TCP", "::ffff:127.0.0.4", 30_101, taken],
      ["host", "UDP", "0.0.0.0", 30_102, taken],
      ["host", "UDP", "::", 30_102, taken],
      ["host", "UDP", "127.0.0.4", 30_102, taken],
      ["host", "TCP", "127.0.0.1", 30_101, "bound"],
      ["host", "TCP", "::1", 30_101, "bound"],
      ["host", "UDP", "0.0.0.0", 30_101, "bound"],
      ["host", "TCP", "0.0.0.0", 30_102, "bound"],
      ["host", "TCP", "0.0.0.0", 30_103, "bound"],
      ["host", "TCP", "0.0.0.0", 0, "bound"],
      ["pod", "TCP", "0.0.0.0", 30_101, "bound"],
      ["pod", "TCP", "127.0.0.4", 30_101, "bound"],
      ["pod", "UDP", "::", 30_102, "bound"],
    ];
    for (const [from, protocol, address, port, expected] of cases) {
      assert.equal(await bind(from, protocol, address, port), expected, `${from} ${protocol} ${address} ${port}`);
    }
  });

  it("names the service in the agent's log", async () => {
    await stage.apply([nodePort("a/named", 30_104, "TCP")]);
    assert.equal(await bind("host", "TCP", "0.0.0.0", 30_104), "EADDRINUSE");
    const message =
      /refused \S+ \(pid \d+\) port 30104\/TCP: it is the NodePort of a\/named:http; give the process another port/;
    for (let waitedMs = 0; waitedMs < waitMsMax && !log.some((line) => message.test(line)); waitedMs += 50)
      await delay(50);
    assert.match(log.join(""), message);
  });

  it("gives a port back with the last address that served it, also one that an earlier agent allocated", async () => {
    const plan = nodePort("a/given", 30_105, "TCP");
    await stage.apply([plan]);
    await stage.apply([{ ...plan, frontends: plan.frontends.slice(1) }]);
    assert.equal(await bind("host", "TCP", "0.0.0.0", 30_105), "EADDRINUSE");
    const other = nodePort("a/other", 30_105, "TCP");
    await stage.apply([goneService("a/given"), other]);
    assert.equal(await bind("host", "TCP", "0.0.0.0", 30_105), "EADDRINUSE", "it went to another service");
    await stage.restartAgent([other]);
    assert.equal(await bind("host", "TCP", "0.0.0.0", 30_105), "EADDRINUSE", "after a restart");
    await stage.apply([goneService("a/other")]);
    assert.equal(await bind("host", "TCP", "0.0.0.0", 30_105), "bound");
    await stage.apply([other]);
    await stage.restartAgent([]);
    assert.equal(await bind("host", "TCP", "0.0.0.0", 30_105), "bound", "after a restart without the service");
  });
});
