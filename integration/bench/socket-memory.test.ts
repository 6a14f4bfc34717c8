import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { heldBytes, socketMemory } from "./socket-memory.ts";

test("of the fields of ss those that are memory count, not the limits", () => {
  const line = "0 0 127.0.0.1:1 127.0.0.1:2 skmem:(r1,rb131072,t2,tb2626560,f4,w8,o16,bl0,d3)\n";
  assert.equal(heldBytes(line + line), 58);
  assert.equal(heldBytes(""), 0);
});

test("what nobody reads is held by the kernel", async () => {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    socket.write(Buffer.alloc(8 * 1_024 * 1_024));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = net.connect({
    port,
    host: "127.0.0.1",
    onread: { buffer: Buffer.alloc(1_024), callback: () => false },
  });
  sockets.push(client);
  await once(client, "connect");
  while (socketMemory(port).clientKb < 32) await sleep(10);
  const { serverKb, clientKb } = socketMemory(port);
  for (const socket of sockets) socket.destroy();
  server.close();
  assert.ok(serverKb > 0 && clientKb >= 32, `${serverKb} and ${clientKb}`);
});
