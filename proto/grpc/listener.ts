/**
 * Accepts connections for a grpc-js server on a socket of our own. `Server.bindAsync` has a backlog of 511 (a storm of 5,000
 * agents took 17-62 s, with 4,096 it takes 8-11 s), cannot say who was refused and why, and cannot reload certificates.
 */
import { ServerCredentials } from "@grpc/grpc-js";
import type { Server } from "@grpc/grpc-js";
import { Socket as NetSocket, createServer as createPlainServer } from "node:net";
import type { Server as NetServer, Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { TLSSocket } from "node:tls";
import { fromErrno } from "../program/errno.ts";
import type { Log } from "../program/log.ts";
import { printBound, printHostPort } from "../program/socket-address.ts";
import type { HostPort } from "../program/socket-address.ts";
import type { ServerSecurity } from "../program/tls-flags.ts";
import { watchTlsFiles } from "../program/tls-files.ts";
import type { TlsMaterial } from "../program/tls-files.ts";
import { speechOf } from "./first-bytes.ts";

/** Why a connection was refused before it became a stream. */
export type RefusedReason =
  | "not-http2"
  | "tls-on-plain-port"
  | "plain-on-tls-port"
  | "no-client-certificate"
  | "untrusted-client-certificate"
  | "tls-handshake"
  | "silent";

export interface GrpcListenerOptions {
  readonly log: Log;
  /** Ends the watching of certificate files; the listener itself is ended by `close`. */
  readonly signal: AbortSignal;
  /** For a metric; called for every refused connection, whereas the log is limited. */
  readonly refused?: (reason: RefusedReason) => void;
  /** Others of this user may listen at the same address; the kernel gives each connection to one of them. */
  readonly isShared?: boolean;
  /** How often certificate files are read again. Default: 5 s. */
  readonly pollMs?: number;
}

export interface GrpcListener extends AsyncDisposable {
  /** "HOST:PORT" as bound. */
  readonly address: string;
  /** Stops accepting, tells the clients to go (GOAWAY), cuts what is left after `graceMs` (1 s), resolves when all are gone. */
  close(graceMs?: number): Promise<void>;
}

const backlog = 4_096;
const handshakeTimeoutMs = 10_000;
const logIntervalMs = 10_000;

const remedies: Readonly<Record<RefusedReason, string>> = {
  "not-http2": "the client does not speak gRPC; HTTP pages are on the --http port",
  "tls-on-plain-port": "the client uses TLS and this port does not: give it --insecure, or this program --tls-cert",
  "plain-on-tls-port": "the client does not use TLS and this port does: give it --tls-ca, --tls-cert and --tls-key",
  "no-client-certificate": "the client shows no certificate: give it --tls-cert and --tls-key",
  "untrusted-client-certificate":
    "the client's certificate is not from an authority in --tls-client-ca, or has expired",
  "tls-handshake":
    "the TLS handshake failed: check the client's --tls-ca, the names in --tls-cert and the versions of both",
  silent: "the client connected and sent nothing in time",
};

/**
 * @throws ProgramError if the address cannot be bound or a file of the TLS flags is not good.
 */
export async function listenGrpc(
  server: Server,
  at: HostPort,
  security: ServerSecurity,
  options: GrpcListenerOptions,
): Promise<GrpcListener> {
  // TLS ends in our own socket; grpc-js finds the client's certificate on it all the same (`getAuthContext`).
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const sockets = new Set<Socket>();
  const refuse = limitedRefusal(options);
  const accept = (socket: Socket): void => injector.injectConnection(socket);
  const listener = security.kind === "tls" ? listenTls(security, options, accept, refuse) : listenPlain(accept, refuse);
  listener.on("connection", (socket: Socket) => {
    socket.setNoDelay(true);
    peerOf(socket);
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", (error) => reject(fromErrno(error, `listen on ${printHostPort(at)} for gRPC`)));
    listener.listen({ host: at.host, port: at.port, backlog, reusePort: options.isShared ?? false }, resolve);
  });
  const close = (graceMs = 1_000): Promise<void> =>
    new Promise((resolve) => {
      injector.drain(graceMs);
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, graceMs);
      listener.close(() => {
        clearTimeout(cut);
        injector.destroy();
        resolve();
      });
    });
  return { address: printBound(listener.address()), close, [Symbol.asyncDispose]: () => close() };
}

type Refuse = (reason: RefusedReason, socket: Socket, detail?: string) => void;

function listenPlain(accept: (socket: Socket) => void, refuse: Refuse): NetServer {
  return createPlainServer((socket) => {
    const silent = setTimeout(() => refuse("silent", socket), handshakeTimeoutMs);
    const ignore = (): void => undefined;
    socket.on("error", ignore);
    socket.once("close", () => clearTimeout(silent));
    socket.once("readable", () => {
      const bytes: unknown = socket.read();
      clearTimeout(silent);
      if (!(bytes instanceof Uint8Array)) return;
      const speech = speechOf(bytes);
      if (speech === "http2") {
        // node:http2 takes what the socket has buffered before it takes over the handle.
        socket.unshift(bytes);
        socket.off("error", ignore);
        accept(socket);
      } else {
        refuse(speech === "tls" ? "tls-on-plain-port" : "not-http2", socket);
      }
    });
  });
}

function listenTls(
  files: Extract<ServerSecurity, { readonly kind: "tls" }>,
  options: GrpcListenerOptions,
  accept: (socket: Socket) => void,
  refuse: Refuse,
): NetServer {
  const names = {
    ca: ["--tls-client-ca", files.clientCaFile] as const,
    identity: { cert: ["--tls-cert", files.certFile] as const, key: ["--tls-key", files.keyFile] as const },
  };
  const contextOf = (material: TlsMaterial) => ({
    ca: material.ca,
    cert: material.identity?.cert,
    key: material.identity?.key,
    minVersion: "TLSv1.2" as const,
  });
  const material = watchTlsFiles(names, options, (changed) => listener.setSecureContext(contextOf(changed)));
  const listener = createTlsServer(
    {
      ...contextOf(material),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ["h2"],
      handshakeTimeout: handshakeTimeoutMs,
    },
    accept,
  );
  listener.on("tlsClientError", (error, socket) => refuse(handshakeFailure(error, socket), socket, detailOf(error)));
  return listener;
}

function handshakeFailure(error: Error, socket: TLSSocket): RefusedReason {
  const code = "code" in error ? String(error.code) : "";
  // Node destroys a socket whose certificate it cannot verify, and reports that as a reset.
  if (typeof socket.authorizationError === "string" || socket.authorizationError instanceof Error) {
    return "untrusted-client-certificate";
  }
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") return "no-client-certificate";
  if (["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_HTTP_REQUEST", "ERR_SSL_HTTPS_PROXY_REQUEST"].includes(code)) {
    return "plain-on-tls-port";
  }
  return code === "ERR_TLS_HANDSHAKE_TIMEOUT" ? "silent" : "tls-handshake";
}

function detailOf(error: Error): string {
  return "reason" in error && typeof error.reason === "string" ? error.reason : error.message;
}

// "ip:port"; undefined if that is not known any more. Quirk: a TLS socket that Node destroyed in the handshake has forgotten
// its peer, but the plain socket under it (`_parent`, undocumented) remembers what was asked while it was open.
function peerOf(socket: Socket): string | undefined {
  const parent: unknown = Reflect.get(socket, "_parent");
  for (const known of [socket, parent]) {
    if (!(known instanceof NetSocket) || known.remoteAddress === undefined) continue;
    return printHostPort({ host: known.remoteAddress, port: known.remotePort ?? 0 });
  }
  return undefined;
}

// One line per reason and interval, however many connections are refused.
function limitedRefusal(options: GrpcListenerOptions): Refuse {
  const last = new Map<RefusedReason, { at: number; unsaid: number }>();
  return (reason, socket, detail) => {
    options.refused?.(reason);
    const peer = peerOf(socket);
    socket.destroy();
    const said = last.get(reason) ?? { at: Number.NEGATIVE_INFINITY, unsaid: 0 };
    last.set(reason, said);
    if (performance.now() - said.at < logIntervalMs) {
      said.unsaid++;
      return;
    }
    const more = said.unsaid === 0 ? undefined : said.unsaid;
    options.log.warn("connection refused", { peer, reason, remedy: remedies[reason], detail, alsoRefused: more });
    said.at = performance.now();
    said.unsaid = 0;
  };
}
