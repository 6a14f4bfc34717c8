import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { it } from "node:test";
import { FleetClient } from "./fleet-client.ts";
import { scriptedFleet } from "./scripted-fleet.ts";

const security = { tlsCa: undefined, tlsCert: undefined, tlsKey: undefined, tlsServerName: undefined, insecure: true };

it("asks nothing once it was interrupted, also if that was before it began", async () => {
  let asked = 0;
  using fleet = await scriptedFleet({
    getStatus() {
      asked++;
      return {};
    },
  });
  const values = { ...security, controlplane: { host: "127.0.0.1", port: fleet.port } };
  using client = FleetClient.connect(values, AbortSignal.abort());
  await assert.rejects(client.getStatus(), /interrupted/);
  assert.equal(asked, 0);
});

// A call that is reset after its answer counts against its connection: servers end one with some hundreds of them.
it("asks as often as it likes on one connection", async () => {
  using fleet = await scriptedFleet({ getStatus: () => ({}) });
  const values = { ...security, controlplane: { host: "127.0.0.1", port: fleet.port } };
  using client = FleetClient.connect(values, new AbortController().signal);
  for (let asked = 0; asked < 2_500; asked++) await client.getStatus();
});

it("is interrupted at once, also while it dials who does not answer", async (t) => {
  const silent = createServer((socket) => t.after(() => socket.destroy())).listen(0, "127.0.0.1");
  t.after(() => silent.close());
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const stop = new AbortController();
  const accepted = once(silent, "connection");
  using client = FleetClient.connect({ ...security, controlplane: { host: "127.0.0.1", port } }, stop.signal);
  const answer = assert.rejects(client.getStatus(), /^ProgramError: interrupted$/);
  await accepted;
  stop.abort();
  await answer;
});
