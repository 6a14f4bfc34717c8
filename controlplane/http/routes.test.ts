import assert from "node:assert/strict";
import { test } from "node:test";
import { epoch } from "@weft/proto/cursor.ts";
import { unixMs } from "@weft/proto/program/clock.ts";
import { listenHttp } from "@weft/proto/program/http.ts";
import type { HttpServer } from "@weft/proto/program/http.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import { runFleet } from "../fleet/fleet-loop.ts";
import { Fleet } from "../fleet/fleet.ts";
import { waitsMax } from "../fleet/waits.ts";
import { controlPlaneRoutes } from "./routes.ts";

async function serve(fleet: Fleet, missing: readonly string[]): Promise<HttpServer> {
  const routes = controlPlaneRoutes({ fleet, metrics: new Metrics(), missing: () => missing });
  return await listenHttp({ host: "127.0.0.1", port: 0 }, routes, silentLog);
}

function newFleet(): Fleet {
  const fleet = new Fleet(Date.now());
  fleet.epochStarted(epoch(1, 1));
  return fleet;
}

async function untilWaits(fleet: Fleet, count: number): Promise<void> {
  while (fleet.waitsOpen !== count) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("is alive but not ready, and says what is missing", async () => {
  await using server = await serve(newFleet(), ["the source is not synced"]);
  assert.equal((await fetch(`http://${server.address}/livez`)).status, 200);
  const ready = await fetch(`http://${server.address}/readyz`);
  assert.deepEqual([ready.status, await ready.text()], [503, "not ready: the source is not synced\n"]);
});

test("a caller that goes away leaves no wait behind", async () => {
  const fleet = newFleet();
  await using server = await serve(fleet, []);
  const gone = new AbortController();
  const asked = fetch(`http://${server.address}/v1/wait?drained=127.0.0.1:80`, { signal: gone.signal });
  await untilWaits(fleet, 1);
  gone.abort();
  await assert.rejects(asked);
  await untilWaits(fleet, 0);
});

test("waits are bounded in number", async () => {
  const fleet = newFleet();
  const target = { kind: "revision", epoch: fleet.epoch, revision: 1 } as Parameters<Fleet["wait"]>[0]["target"];
  const listener = { noted: () => undefined, ended: () => undefined };
  const quorum = { kind: "nodes", nodes: 1 } as const;
  const deadlineMs = Date.now() + 60_000;
  for (let i = 0; i < waitsMax; i++) fleet.wait({ target, quorum, deadlineMs, listener }, Date.now());
  await using server = await serve(fleet, []);
  const refused = await fetch(`http://${server.address}/v1/wait?drained=127.0.0.1:80`);
  assert.deepEqual([refused.status, refused.headers.get("retry-after"), fleet.waitsOpen], [503, "1", waitsMax]);
});

for (const [how, byHours] of [
  ["back", -1],
  ["ahead", 1],
] as const) {
  test(`a clock that is set ${how} neither ends waits nor keeps them`, { timeout: 60_000 }, async (t) => {
    const fleet = new Fleet(unixMs());
    fleet.epochStarted(epoch(1, 1));
    const evaluated = t.mock.method(fleet, "evaluate");
    await using server = await serve(fleet, []);
    const stop = new AbortController();
    const running = runFleet(fleet, stop.signal);
    const gone = new AbortController();
    const url = `http://${server.address}/v1/wait?drained=127.0.0.1:80`;
    const long = fetch(`${url}&timeout=10m`, { signal: gone.signal });
    const short = fetch(`${url}&timeout=1s`);
    await untilWaits(fleet, 2);
    const { now } = Date;
    t.mock.method(Date, "now", () => now() + byHours * 3_600_000);
    assert.equal((await short).status, 504);
    const before = evaluated.mock.callCount();
    while (evaluated.mock.callCount() < before + 2) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal(fleet.waitsOpen, 1);
    gone.abort();
    await assert.rejects(long);
    stop.abort();
    await running;
  });
}

test("metrics come in OpenMetrics to those who accept it", async () => {
  await using server = await serve(newFleet(), []);
  const accept = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5";
  const open = await fetch(`http://${server.address}/metrics`, { headers: { accept } });
  assert.match(open.headers.get("content-type") ?? "", /^application\/openmetrics-text; version=1\.0\.0/);
  assert.match(await open.text(), /# EOF\n$/);
  const plain = await fetch(`http://${server.address}/metrics`);
  assert.match(plain.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
});
