import { Server } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { TLSSocket, connect } from "node:tls";
import { silentLog } from "../program/log.ts";
import type { CertificateFiles } from "../program/testing-certificates.ts";
import { listenGrpc } from "./listener.ts";
import type { GrpcListener, RefusedReason } from "./listener.ts";
import { testingTls } from "./testing-tls.ts";

const { folder, signal, ca, otherCa, server: serverFiles, client: clientFiles } = testingTls();
const dayMs = 24 * 3_600 * 1_000;

/** What became of a connection, at the server. */
type Fate = { readonly names: string | undefined; readonly isResumed: boolean } | RefusedReason;

// Resumed are sessions of TLS 1.2 and 1.3 in ways that have little in common.
for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  describe(`a resumed session of ${version}`, () => {
    test("is the node's whose certificate began it, without being shown the certificate again", async () => {
      await using served = await start();
      const session = await served.begin(version);
      assert.deepEqual(await served.come(version, session), { names: "URI:weft://node/n1", isResumed: true });
    });

    test("ends when the certificate has expired", async () => {
      let shiftMs = 0;
      await using served = await start({ now: () => Date.now() + shiftMs });
      const session = await served.begin(version);
      shiftMs = 3 * dayMs;
      assert.equal(await served.come(version, session), "untrusted-client-certificate");
    });

    test("ends when the authorities of clients change", async () => {
      const clientCaFile = join(folder, `changing-${version}.pem`);
      copyFileSync(ca.cert, clientCaFile);
      await using served = await start({ clientCaFile });
      const session = await served.begin(version);
      copyFileSync(otherCa.cert, clientCaFile);
      await served.reloaded;
      // Without a certificate: what is let in is the session alone.
      assert.equal(await served.come(version, session), "no-client-certificate");
      assert.equal(await served.come(version, session, clientFiles), "untrusted-client-certificate");
    });
  });
}

async function start({ clientCaFile = ca.cert, now = Date.now } = {}) {
  const fates: ((fate: Fate) => void)[] = [];
  const reload = Promise.withResolvers<void>();
  const listener: GrpcListener = await listenGrpc(
    new Server(),
    { host: "127.0.0.1", port: 0 },
    { kind: "tls", certFile: serverFiles.cert, keyFile: serverFiles.key, clientCaFile },
    {
      log: { ...silentLog, info: (said) => said === "certificates reloaded" && reload.resolve() },
      signal,
      pollMs: 20,
      now,
      refused: (reason) => fates.shift()?.(reason),
      front: {
        take: (socket) => {
          assert.ok(socket instanceof TLSSocket);
          const names = socket.getPeerX509Certificate()?.subjectAltName;
          fates.shift()?.({ names, isResumed: socket.isSessionReused() });
          // The ticket of TLS 1.3 goes out with the first bytes at the latest.
          socket.on("error", () => undefined).end("bye");
        },
        goAway: () => undefined,
      },
    },
  );
  const dial = (version: "TLSv1.2" | "TLSv1.3", session: Buffer | undefined, shown: CertificateFiles | undefined) => {
    const identity = shown && { cert: readFileSync(shown.cert), key: readFileSync(shown.key) };
    const [host, port] = listener.address.split(":") as [string, string];
    const options = { host, port: Number(port), ca: readFileSync(ca.cert), ALPNProtocols: ["h2"], ...identity };
    const limits = { minVersion: version, maxVersion: version };
    const socket = connect({ ...options, ...limits, ...(session && { session }) });
    socket.on("error", () => undefined).resume();
    const fate = new Promise<Fate>((resolve) => fates.push(resolve));
    return { socket, fate };
  };
  return {
    /** Once the files were read again. */
    reloaded: reload.promise,
    /** A session that a full handshake began. */
    async begin(version: "TLSv1.2" | "TLSv1.3"): Promise<Buffer> {
      const { socket, fate } = dial(version, undefined, clientFiles);
      const [session] = (await once(socket, "session")) as [Buffer];
      assert.deepEqual(await fate, { names: "URI:weft://node/n1", isResumed: false });
      return session;
    },
    /** Comes with a session, and with a certificate if one is given. */
    async come(version: "TLSv1.2" | "TLSv1.3", session: Buffer, shown?: CertificateFiles): Promise<Fate> {
      const { socket, fate } = dial(version, session, shown);
      await new Promise((resolve) => socket.once("close", resolve));
      return fate;
    },
    [Symbol.asyncDispose]: () => listener.close(0),
  };
}
