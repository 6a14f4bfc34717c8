import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { ProgramError } from "./errors.ts";
import { jsonResponse, listenHttp, textResponse } from "./http.ts";
import type { HttpServer, Routes } from "./http.ts";
import { createLog, silentLog } from "./log.ts";
import { parseDialAddress, parseListenAddress, printHostPort } from "./socket-address.ts";

const routes: Routes = {
  "/livez": () => textResponse(200, "ok"),
  "/v1/wait": ({ query, peerAddress }) => jsonResponse(200, { drained: query.getAll("drained"), peerAddress }),
  "/broken": () => {
    throw new Error("a secret path");
  },
};

const start = (): Promise<HttpServer> => listenHttp({ host: "127.0.0.1", port: 0 }, routes, silentLog);

describe("the HTTP server", () => {
  const answers: readonly (readonly [method: string, path: string, status: number, body: RegExp])[] = [
    ["GET", "/livez", 200, /^ok\n$/],
    ["GET", "/livez?verbose", 200, /^ok\n$/],
    ["HEAD", "/livez", 200, /^$/],
    [
      "GET",
      "/v1/wait?drained=10.0.0.1:80&drained=[fd00::1]:80",
      200,
      /^\{"drained":\["10.0.0.1:80","\[fd00::1\]:80"\],"peerAddress":"127.0.0.1"\}\n$/,
    ],
    ["GET", "/", 404, /no such page; there are: \/livez \/v1\/wait \/broken/],
    ["GET", "/toString", 404, /no such page/],
    ["GET", "/livez/", 404, /no such page/],
    ["POST", "/livez", 405, /use GET/],
    ["GET", "/broken", 500, /^internal error; see the log of this program\n$/],
    ["GET", `/livez?${"x".repeat(5_000)}`, 414, /longer than 4096/],
  ];
  test("one answer serves every path, with headers of its own", async () => {
    await using server = await listenHttp(
      { host: "127.0.0.1", port: 0 },
      ({ path, localAddress }) => ({ status: 503, headers: { "x-weight": "0" }, body: `${path} at ${localAddress}` }),
      silentLog,
    );
    const response = await fetch(`http://${server.address}/any/path`);
    assert.equal(response.status, 503);
    assert.equal(response.headers.get("x-weight"), "0");
    assert.equal(await response.text(), "/any/path at 127.0.0.1");
  });

  for (const [method, path, status, body] of answers) {
    test(`answers ${method} ${path.slice(0, 60)} with ${status}`, async () => {
      await using server = await start();
      const response = await fetch(`http://${server.address}${path}`, { method, headers: { connection: "close" } });
      assert.equal(response.status, status);
      assert.match(await response.text(), body);
      if (status === 405) assert.equal(response.headers.get("allow"), "GET, HEAD");
    });
  }

  test("logs what broke, with its path", async () => {
    const lines: string[] = [];
    const log = createLog({ logLevel: "info", logFormat: "text", write: (line) => lines.push(line) });
    await using server = await listenHttp({ host: "127.0.0.1", port: 0 }, routes, log);
    await (await fetch(`http://${server.address}/broken`, { headers: { connection: "close" } })).text();
    assert.match(lines.join(""), /error HTTP request failed path=\/broken error="Error: a secret path/);
  });

  test("refuses headers that are too large, and garbage", async () => {
    await using server = await start();
    for (const [sent, status] of [
      [`GET /livez HTTP/1.1\r\nx: ${"y".repeat(20_000)}\r\n\r\n`, /^HTTP\/1.1 431 /],
      ["\u0001\u0002\r\n\r\n", /^HTTP\/1.1 400 /],
    ] as const) {
      const socket = connect(Number(server.address.split(":")[1]), "127.0.0.1");
      socket.on("error", () => undefined);
      socket.write(sent, "latin1");
      const [answer] = (await once(socket, "data")) as [Buffer];
      assert.match(String(answer), status);
      socket.destroy();
    }
  });

  test("tells a waiting answer that its client went away", async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    const waiting = Promise.withResolvers<void>();
    const slow: Routes = {
      "/slow": async ({ signal }) => {
        waiting.resolve();
        await new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
        resolve();
        return textResponse(200, "late");
      },
    };
    await using server = await listenHttp({ host: "127.0.0.1", port: 0 }, slow, silentLog);
    const going = request(`http://${server.address}/slow`);
    going.on("error", () => undefined);
    going.end();
    await waiting.promise;
    going.destroy();
    await aborted;
  });

  test("ends waiting answers when it closes", async () => {
    const waiting = Promise.withResolvers<void>();
    const slow: Routes = {
      "/slow": async ({ signal }) => {
        waiting.resolve();
        await new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
        return textResponse(503, "closing");
      },
    };
    const server = await listenHttp({ host: "127.0.0.1", port: 0 }, slow, silentLog);
    const response = fetch(`http://${server.address}/slow`);
    await waiting.promise;
    await server.close();
    assert.equal((await response).status, 503);
  });

  test("says who has the address already", async () => {
    await using server = await start();
    const port = Number(server.address.split(":")[1]);
    await assert.rejects(listenHttp({ host: "127.0.0.1", port }, routes, silentLog), (error) => {
      assert.ok(error instanceof ProgramError);
      assert.equal(error.message, `cannot listen on 127.0.0.1:${port} for HTTP: the address is in use (EADDRINUSE)`);
      return true;
    });
  });

  test("prints an IPv6 address in brackets", async () => {
    await using server = await listenHttp({ host: "::1", port: 0 }, routes, silentLog);
    assert.match(server.address, /^\[::1\]:\d+$/);
  });
});

describe("HOST:PORT", () => {
  const forms: readonly (readonly [text: string, printed: string | undefined])[] = [
    ["127.0.0.1:7000", "127.0.0.1:7000"],
    ["[::1]:7000", "[::1]:7000"],
    ["[fe80::1%eth0]:7000", "[fe80::1%eth0]:7000"],
    ["weft-controlplane.weft.svc:7000", "weft-controlplane.weft.svc:7000"],
    ["0.0.0.0:65535", "0.0.0.0:65535"],
    ["7000", undefined],
    [":7000", undefined],
    ["::1:7000", undefined],
    ["host:", undefined],
    ["host:65536", undefined],
    ["http://host:80", undefined],
    ["ho st:80", undefined],
  ];
  for (const [text, printed] of forms) {
    test(`"${text}" is ${printed ?? "refused"}`, () => {
      const parsed = parseListenAddress(text);
      assert.equal(parsed.ok ? printHostPort(parsed.value) : undefined, printed);
      if (!parsed.ok) assert.match(parsed.problem, /give HOST:PORT/);
    });
  }
  test("port 0 is for listening only", () => {
    assert.ok(parseListenAddress("127.0.0.1:0").ok);
    assert.ok(!parseDialAddress("127.0.0.1:0").ok);
  });
});
