import { Client, Server, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { TLSSocket } from "node:tls";
import { clientCredentials } from "../program/credentials.ts";
import { ProgramError } from "../program/errors.ts";
import { createLog, silentLog } from "../program/log.ts";
import { makeCertificate } from "../program/testing-certificates.ts";
import type { ClientSecurity, ServerSecurity } from "../program/tls-flags.ts";
import { listenGrpc } from "./listener.ts";
import type { GrpcListener, ListenerLimits, RefusedReason } from "./listener.ts";
import { testingTls } from "./testing-tls.ts";

const { folder, signal, ca, otherCa, server: serverFiles, client: clientFiles } = testingTls();
const rogueFiles = makeCertificate(folder, "rogue", otherCa, "URI:weft://node/n1");

const serverTls: ServerSecurity = {
  kind: "tls",
  certFile: serverFiles.cert,
  keyFile: serverFiles.key,
  clientCaFile: ca.cert,
};
const clientTls = (
  files: { cert: string; key: string } | undefined,
  more: { ca?: string; serverName?: string } = {},
): ClientSecurity => ({
  kind: "tls",
  caFile: more.ca ?? ca.cert,
  identity: files === undefined ? undefined : { certFile: files.cert, keyFile: files.key },
  serverName: more.serverName,
});

const bytes = (value: Buffer): Buffer => value;
const echo = {
  path: "/weft.test.Test/WhoAmI",
  requestStream: false,
  responseStream: false,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
} as const;

// Answers with the names in the client's certificate.
async function start(
  security: ServerSecurity,
  refused: RefusedReason[] = [],
  lines: string[] = [],
  limits: Partial<ListenerLimits> = {},
  untilAborted = signal,
): Promise<GrpcListener> {
  const server = new Server();
  server.addService(
    { whoAmI: echo },
    {
      whoAmI: (
        call: { getAuthContext(): { sslPeerCertificate?: { subjectaltname?: string } } | null },
        answer: (error: null, value: Buffer) => void,
      ) => answer(null, Buffer.from(call.getAuthContext()?.sslPeerCertificate?.subjectaltname ?? "nobody")),
    },
  );
  const log = createLog({ logLevel: "info", logFormat: "text", write: (line) => lines.push(line) });
  const options = {
    log,
    signal: untilAborted,
    pollMs: 20,
    limits,
    refused: (reason: RefusedReason) => void refused.push(reason),
  };
  return listenGrpc(server, { host: "127.0.0.1", port: 0 }, security, options);
}

// What the server answered, or the status and details of the failure.
async function whoAmI(address: string, security: ClientSecurity): Promise<string> {
  const { credentials, channelOptions } = clientCredentials(security, {
    log: silentLog,
    signal,
    pollMs: 20,
  });
  return askWith(new Client(address, credentials, channelOptions));
}

async function askWith(client: Client): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const deadline = Date.now() + 10_000;
  client.makeUnaryRequest(
    echo.path,
    bytes,
    bytes,
    Buffer.alloc(1),
    { deadline },
    (error: ServiceError | null, value?: Buffer) =>
      resolve(error === null ? String(value) : `${status[error.code]}: ${error.details}`),
  );
  const said = await promise;
  client.close();
  return said;
}

describe("a listener with TLS", () => {
  const clients: readonly (readonly [
    string,
    ClientSecurity,
    answer: RegExp,
    refused: RefusedReason | "by the client" | undefined,
  ])[] = [
    ["its authority's client", clientTls(clientFiles), /^URI:weft:\/\/node\/n1$/, undefined],
    ["one that checks another of its names", clientTls(clientFiles, { serverName: "cp.example" }), /^URI:/, undefined],
    [
      "one that expects another name",
      clientTls(clientFiles, { serverName: "cp.wrong" }),
      /UNAVAILABLE.*altnames/,
      "tls-handshake",
    ],
    ["one that trusts another authority", clientTls(clientFiles, { ca: otherCa.cert }), /UNAVAILABLE/, "by the client"],
    ["one without certificate", clientTls(undefined), /UNAVAILABLE/, "no-client-certificate"],
    ["one with another authority's certificate", clientTls(rogueFiles), /UNAVAILABLE/, "untrusted-client-certificate"],
    ["one without TLS", { kind: "insecure" }, /UNAVAILABLE/, "plain-on-tls-port"],
  ];
  for (const [name, security, answer, reason] of clients) {
    test(`${reason === undefined ? "accepts" : reason === "by the client" ? "turns away" : "refuses"} ${name}`, async () => {
      const refused: RefusedReason[] = [];
      const lines: string[] = [];
      await using listener = await start(serverTls, refused, lines);
      assert.match(await whoAmI(listener.address, security), answer);
      // Whether the server notices that a client turned away depends on how far the handshake was.
      if (reason !== undefined && reason !== "by the client") {
        await until(() => refused.length > 0);
        assert.equal(refused[0], reason);
        const line = new RegExp(`warn connection refused peer=127.0.0.1:\\d+ reason=${reason} remedy=`);
        assert.match(lines.join(""), line);
      }
      assert.match(await whoAmI(listener.address, clientTls(clientFiles)), /^URI:/);
    });
  }

  test("uses certificates that changed, for new connections, and keeps the last good ones while files are torn", async () => {
    const [cert, key, clientCa] = ["live.pem", "live.key", "live-ca.pem"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    copyFileSync(serverFiles.cert, cert);
    copyFileSync(serverFiles.key, key);
    copyFileSync(ca.cert, clientCa);
    const lines: string[] = [];
    await using listener = await start(
      { kind: "tls", certFile: cert, keyFile: key, clientCaFile: clientCa },
      [],
      lines,
    );
    assert.match(await whoAmI(listener.address, clientTls(clientFiles)), /^URI:/);

    const renewed = makeCertificate(folder, "renewed", otherCa, "IP:127.0.0.1");
    copyFileSync(renewed.cert, cert);
    await until(() => lines.some((line) => line.includes("certificates not reloaded")));
    assert.match(lines.join(""), /--tls-key \S+ is not the key of --tls-cert/);
    assert.match(await whoAmI(listener.address, clientTls(clientFiles)), /^URI:/, "the last good pair still serves");

    copyFileSync(renewed.key, key);
    copyFileSync(otherCa.cert, clientCa);
    await until(() => lines.some((line) => line.includes("certificates reloaded") && !line.includes("not reloaded")));
    await untilAsync(
      async () =>
        (await whoAmI(listener.address, clientTls(rogueFiles, { ca: otherCa.cert }))) === "URI:weft://node/n1",
    );
    assert.match(await whoAmI(listener.address, clientTls(clientFiles)), /UNAVAILABLE/, "the old authority is out");
  });

  test("tells clients to go when it closes, and frees the port", async () => {
    const listener = await start(serverTls);
    assert.match(await whoAmI(listener.address, clientTls(clientFiles)), /^URI:/);
    const idle = connect(Number(listener.address.split(":")[1]), "127.0.0.1");
    idle.on("error", () => undefined);
    await once(idle, "connect");
    await listener.close(10);
    assert.match(await whoAmI(listener.address, clientTls(clientFiles)), /UNAVAILABLE/);
  });
});

describe("a client", () => {
  test("uses a certificate that changed", async () => {
    await using listener = await start(serverTls);
    const [cert, key] = [join(folder, "mine.pem"), join(folder, "mine.key")];
    copyFileSync(rogueFiles.cert, cert);
    copyFileSync(rogueFiles.key, key);
    const options = { log: silentLog, signal, pollMs: 20 };
    const { credentials } = clientCredentials(clientTls({ cert, key }), options);
    const ask = (): Promise<string> =>
      askWith(new Client(listener.address, credentials, { "grpc.use_local_subchannel_pool": 1 }));
    assert.match(await ask(), /No connection established/);
    copyFileSync(clientFiles.cert, cert);
    copyFileSync(clientFiles.key, key);
    await untilAsync(async () => (await ask()) === "URI:weft://node/n1");
  });
});

describe("a listener without TLS", () => {
  test("accepts plain gRPC, also in single bytes", async () => {
    await using listener = await start({ kind: "insecure" });
    assert.equal(await whoAmI(listener.address, { kind: "insecure" }), "nobody");
    const socket = connect(Number(listener.address.split(":")[1]), "127.0.0.1");
    socket.setNoDelay(true);
    for (const byte of Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0", "latin1")) {
      socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const [answer] = (await once(socket, "data")) as [Buffer];
    assert.equal(answer[3], 4, "a SETTINGS frame");
    socket.destroy();
  });

  const strangers: readonly (readonly [string, bytes: string, RefusedReason])[] = [
    ["an HTTP/1 request", "GET / HTTP/1.1\r\n\r\n", "not-http2"],
    ["garbage", "\u0001\u0002\u0003\u0004", "not-http2"],
    ["a TLS hello", "\u0016\u0003\u0001\u0000\u0005", "tls-on-plain-port"],
  ];
  for (const [name, sent, reason] of strangers) {
    test(`refuses ${name} and goes on serving others`, async () => {
      const refused: RefusedReason[] = [];
      const lines: string[] = [];
      await using listener = await start({ kind: "insecure" }, refused, lines);
      for (let i = 0; i < 3; i++) {
        const socket = connect(Number(listener.address.split(":")[1]), "127.0.0.1");
        socket.on("error", () => undefined);
        socket.write(Buffer.from(sent, "latin1"));
        await once(socket, "close");
      }
      assert.deepEqual(refused, [reason, reason, reason]);
      assert.equal(lines.length, 1, "said once, counted each time");
      assert.equal(await whoAmI(listener.address, { kind: "insecure" }), "nobody");
    });
  }

  test("says who has the address already", async () => {
    await using listener = await start({ kind: "insecure" });
    const port = Number(listener.address.split(":")[1]);
    const again = listenGrpc(
      new Server(),
      { host: "127.0.0.1", port },
      { kind: "insecure" },
      { log: silentLog, signal },
    );
    await assert.rejects(again, (error) => error instanceof ProgramError && error.code === "address-in-use");
  });
});

describe("a listener's bounds", () => {
  const dial = (address: string, files: { cert: string; key: string }): TLSSocket => {
    const [ca_, cert, key] = [ca.cert, files.cert, files.key].map((file) => readFileSync(file));
    const socket = connectTls({ port: portOf(address), host: "127.0.0.1", ca: ca_, cert, key, ALPNProtocols: ["h2"] });
    socket.on("error", () => undefined).resume();
    return socket;
  };
  const dialPlain = (address: string): Socket => {
    const socket = connect(portOf(address), "127.0.0.1");
    socket.on("error", () => undefined).resume();
    return socket;
  };

  test("so many connections of one certificate, and others beside them", async () => {
    const refused: RefusedReason[] = [];
    await using listener = await start(serverTls, refused, [], { connectionsPerCertificateMax: 2 });
    const first = dial(listener.address, clientFiles);
    await once(first, "secureConnect");
    const second = dial(listener.address, clientFiles);
    await once(second, "secureConnect");
    const third = dial(listener.address, clientFiles);
    await once(third, "close");
    await until(() => refused.length > 0);
    assert.deepEqual(refused, ["connections-limit"]);
    const other = makeCertificate(folder, "other", ca, "URI:weft://node/n2");
    assert.match(await whoAmI(listener.address, clientTls(other)), /^URI:weft:\/\/node\/n2/);
    first.destroy();
    await untilAsync(async () => (await whoAmI(listener.address, clientTls(clientFiles))).startsWith("URI:"));
    second.destroy();
  });

  test("so many connections in all", async () => {
    const refused: RefusedReason[] = [];
    await using listener = await start({ kind: "insecure" }, refused, [], { connectionsMax: 1 });
    const first = dialPlain(listener.address);
    await once(first, "connect");
    const second = dialPlain(listener.address);
    await once(second, "close");
    assert.deepEqual(refused, ["connections-limit"]);
    first.destroy();
    await untilAsync(async () => (await whoAmI(listener.address, { kind: "insecure" })) === "nobody");
  });

  test("a TLS handshake that is not finished, at its start or in its middle, is ended as silent", async () => {
    const refused: RefusedReason[] = [];
    await using listener = await start(serverTls, refused, [], { handshakeMs: 300 });
    const mute = dialPlain(listener.address);
    const half = dialPlain(listener.address);
    half.write(Uint8Array.of(0x16, 3, 1, 2, 0, 1));
    await Promise.all([once(mute, "close"), once(half, "close")]);
    await until(() => refused.length === 2);
    assert.deepEqual(refused, ["silent", "silent"]);
  });

  for (const security of [serverTls, { kind: "insecure" }] as const) {
    test(`a connection that says nothing any more is cut, one that does is not: ${security.kind}`, async () => {
      await using listener = await start(security, [], [], { silentMs: 2_000 });
      const [mute, talking] = [0, 1].map(() =>
        security.kind === "tls" ? dial(listener.address, clientFiles) : dialPlain(listener.address),
      ) as [Socket, Socket];
      for (const socket of [mute, talking]) {
        if (security.kind === "tls") await once(socket, "secureConnect");
        socket.write(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0", "latin1"));
      }
      // PING.
      const ping = Uint8Array.of(0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8);
      const timer = setInterval(() => talking.write(ping), 50);
      await once(mute, "close");
      clearInterval(timer);
      assert.equal(talking.destroyed, false);
      talking.destroy();
    });
  }

  test("accepts nothing more once it is told to stop, and keeps what it has", async () => {
    const told = new AbortController();
    await using listener = await start({ kind: "insecure" }, [], [], {}, told.signal);
    const held = dialPlain(listener.address);
    held.write(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0", "latin1"));
    await once(held, "data");
    told.abort();
    const late = connect(portOf(listener.address), "127.0.0.1");
    const [error] = (await once(late, "error")) as [Error & { code?: string }];
    assert.equal(error.code, "ECONNREFUSED");
    assert.equal(held.destroyed, false);
    held.destroy();
  });
});

describe("files that are not good", () => {
  const garbage = join(folder, "garbage.pem");
  writeFileSync(garbage, "not a certificate");
  const cases: readonly (readonly [string, Partial<Extract<ServerSecurity, { kind: "tls" }>>, RegExp])[] = [
    [
      "missing",
      { certFile: join(folder, "nowhere.pem") },
      /^cannot read --tls-cert \S+nowhere.pem: no such file or folder \(ENOENT\)$/,
    ],
    ["a folder", { keyFile: folder }, /^cannot read --tls-key \S+: it is a folder, not a file \(EISDIR\)$/],
    ["no PEM", { clientCaFile: garbage }, /^--tls-client-ca \S+ has no PEM certificate$/],
    [
      "a torn certificate",
      { certFile: tornCertificate() },
      /^--tls-cert \S+ has (no PEM certificate|a certificate that cannot be read)$/,
    ],
    ["no key", { keyFile: garbage }, /^--tls-key \S+ is no private key that can be read$/],
    [
      "another's key",
      { keyFile: clientFiles.key },
      /^--tls-key \S+client.key is not the key of --tls-cert \S+server.pem$/,
    ],
  ];
  for (const [name, wrong, message] of cases) {
    test(`${name}: one line that names the flag and the file`, async () => {
      await assert.rejects(start({ ...serverTls, ...wrong }), (error) => {
        assert.ok(error instanceof ProgramError);
        assert.match(error.message, message);
        assert.notEqual(error.remedy, "");
        return true;
      });
    });
  }
});

function tornCertificate(): string {
  const file = join(folder, "torn.pem");
  writeFileSync(file, "-----BEGIN CERTIFICATE-----\nMIIBdummy\n-----END CERTIFICATE-----\n");
  return file;
}

const portOf = (address: string): number => Number(address.split(":")[1]);

async function until(condition: () => boolean): Promise<void> {
  await untilAsync(() => Promise.resolve(condition()));
}

async function untilAsync(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, "it did not happen within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
