import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLog } from "@weft/proto/program/log.ts";
import { describedAddress } from "../plan/described-cluster.ts";
import type { HealthCheck } from "./health-check.ts";
import { HealthCheckServers } from "./health-check-servers.ts";

class Lab implements AsyncDisposable {
  readonly checks = new Map<string, HealthCheck>();
  readonly log: string[] = [];
  readonly servers: HealthCheckServers;
  isHealthy = true;
  failureChanges = 0;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(addresses: ConstructorParameters<typeof HealthCheckServers>[0]["addresses"] = "all") {
    this.servers = new HealthCheckServers({
      checks: this.checks,
      addresses,
      isProxyHealthy: () => this.isHealthy,
      log: createLog({ logLevel: "info", logFormat: "text", write: (line) => this.log.push(line) }),
      onFailuresChange: () => this.failureChanges++,
    });
    this.#ended = this.servers.run(this.#stop.signal);
  }

  put(service: string, port: number, ipv4: number, ipv6 = 0): void {
    const before = this.checks.get(service);
    this.checks.set(service, { service, port, families: [4, 6], localEndpoints: { 4: ipv4, 6: ipv6 } });
    if (before?.port !== port) this.servers.changed([service]);
  }

  remove(service: string): void {
    this.checks.delete(service);
    this.servers.changed([service]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

describe("health check node ports", () => {
  it("answer every path with what is known now, and close when the service goes", async () => {
    await using lab = new Lab();
    const port = await freePort();
    lab.put("ns/web", port, 2);
    await until(async () => (await ask(port)) === "200 2");
    const response = await fetch(`http://127.0.0.1:${port}/any/path?of=it`);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.equal(response.headers.get("x-load-balancing-endpoint-weight"), "2");
    assert.deepEqual(await response.json(), {
      service: { namespace: "ns", name: "web" },
      localEndpoints: 2,
      serviceProxyHealthy: true,
    });
    lab.put("ns/web", port, 0);
    assert.equal(await ask(port), "503 0");
    lab.put("ns/web", port, 1);
    lab.isHealthy = false;
    assert.equal(await ask(port), "503 1");
    lab.isHealthy = true;
    assert.equal(await ask(port), "200 1");
    lab.remove("ns/web");
    await until(async () => (await ask(port)) === "refused");
    assert.equal(lab.servers.size, 0);
    assert.equal(lab.failureChanges, 0);
  });

  it("answer for the family that asks", { skip: hasIpv6() ? false : "this machine has no ::1" }, async () => {
    await using lab = new Lab();
    const port = await freePort();
    lab.put("ns/web", port, 2, 1);
    await until(async () => (await ask(port)) === "200 2");
    assert.equal(await ask(port, "[::1]"), "200 1");
  });

  it("move with a service, also to the port that another one leaves", async () => {
    await using lab = new Lab();
    const [first, second] = [await freePort(), await freePort()];
    lab.put("ns/a", first, 1);
    lab.put("ns/b", second, 2);
    await until(async () => (await ask(second)) === "200 2");
    lab.put("ns/a", second, 3);
    lab.put("ns/b", first, 4);
    await until(async () => (await ask(second)) === "200 3" && (await ask(first)) === "200 4");
    assert.deepEqual(lab.servers.failures, []);
  });

  it("name a port that another program holds, serve the others, and take it once it is free", async () => {
    await using holder = createServer().listen(0);
    const [taken, free] = [await portOf(holder), await freePort()];
    await using lab = new Lab();
    lab.put("ns/a", taken, 1);
    lab.put("ns/b", free, 1);
    await until(async () => (await ask(free)) === "200 1");
    const [failure] = lab.servers.failures;
    assert.equal(failure?.service, "ns/a");
    assert.match(
      failure.reason,
      new RegExp(`^health check node port ${taken} of service ns/a is not served: .*address is in use.*choose another`),
    );
    assert.equal(lab.failureChanges, 1);
    assert.equal(lab.log.filter((line) => line.includes("not served")).length, 1);
    await holder[Symbol.asyncDispose]();
    // Anything that closes lets it try again; else the timer does.
    lab.remove("ns/b");
    await until(async () => (await ask(taken)) === "200 1");
    assert.deepEqual(lab.servers.failures, []);
    assert.equal(lab.failureChanges, 2);
  });

  it("name the service that has the port already", async () => {
    await using lab = new Lab();
    const port = await freePort();
    lab.put("ns/a", port, 1);
    await until(async () => (await ask(port)) === "200 1");
    lab.put("ns/b", port, 5);
    await until(() => Promise.resolve(lab.servers.failures.length === 1));
    assert.match(lab.servers.failures[0]?.reason ?? "", /of service ns\/b is not served: service ns\/a has it/);
    lab.remove("ns/a");
    await until(async () => (await ask(port)) === "200 5");
    assert.deepEqual(lab.servers.failures, []);
  });

  it("listen only where they should, and move when that changes", async () => {
    await using lab = new Lab([describedAddress("127.0.0.2")]);
    const port = await freePort();
    lab.put("ns/web", port, 1);
    await until(async () => (await ask(port, "127.0.0.2")) === "200 1");
    assert.equal(await ask(port), "refused");
    lab.servers.listenOn([describedAddress("127.0.0.1"), describedAddress("127.0.0.3")]);
    await until(async () => (await ask(port, "127.0.0.3")) === "200 1");
    assert.equal(await ask(port), "200 1");
    assert.equal(await ask(port, "127.0.0.2"), "refused");
  });

  it("close all at the end, also for balancers that keep their connection", async () => {
    const lab = new Lab();
    const port = await freePort();
    lab.put("ns/web", port, 1);
    await until(async () => (await ask(port)) === "200 1");
    await lab.stop();
    assert.equal(await ask(port), "refused");
  });
});

// "status weight", or "refused".
async function ask(port: number, host = "127.0.0.1"): Promise<string> {
  try {
    const response = await fetch(`http://${host}:${port}/`);
    await response.arrayBuffer();
    return `${response.status} ${response.headers.get("x-load-balancing-endpoint-weight") ?? ""}`;
  } catch {
    return "refused";
  }
}

async function until(is: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await is()) return;
    await sleep(5);
  }
  assert.fail("it did not become true within 2 s");
}

async function freePort(): Promise<number> {
  await using server = createServer().listen(0);
  return portOf(server);
}

async function portOf(server: Server): Promise<number> {
  if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
  return (server.address() as AddressInfo).port;
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((entries) => entries?.some(({ address }) => address === "::1"));
}
