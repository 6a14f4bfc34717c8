/**
 * Accepts connections for a grpc-js server on a socket of our own. `Server.bindAsync` has a backlog of 511 (a storm of 5,000
 * agents took 17-62 s, with 4,096 it takes 8-11 s), cannot say who was refused and why, and cannot reload certificates.
 */
import { ServerCredentials } from "@grpc/grpc-js";
import type { Server } from "@grpc/grpc-js";
import { Socket as NetSocket, createServer as createPlainServer } from "node:net";
import type { Socket } from "node:net";
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
  | "connections-limit"
  | "silent";

export interface GrpcListenerOptions {
  readonly log: Log;
  /** Ends the watching of certificate files and the accepting; connections are ended by `close`. */
  readonly signal: AbortSignal;
  /** For a metric; called for every refused connection, whereas the log is limited. */
  readonly refused?: (reason: RefusedReason) => void;
  /** Is given each connection before grpc-js. Default: grpc-js serves all. */
  readonly front?: ConnectionFront;
  /** Others of this user may listen at the same address; the kernel gives each connection to one of them. */
  readonly isShared?: boolean;
  /** How often certificate files are read again. Default: 5 s. */
  readonly pollMs?: number;
  /** Milliseconds since 1970, for the expiry of certificates. Default: the system's clock. */
  readonly now?: () => number;
  /** Default: `listenerLimits`. */
  readonly limits?: Partial<ListenerLimits>;
}

/** Serves some connections itself. */
export interface ConnectionFront {
  /**
   * A connection whose handshake is over. `first`: what was read of it. `pass` gives it to grpc-js, to which all that was read must be
   * put back (`unshift`). `refused` is told of one that it ends because of what the client did, while no call is open.
   */
  take(
    socket: Socket,
    first: Buffer,
    pass: (socket: Socket) => void,
    refused: (socket: Socket, details: string) => void,
  ): void;
  /** Tells its clients to go. */
  goAway(): void;
}

export interface ListenerLimits {
  /** Open connections. */
  readonly connectionsMax: number;
  /** Open connections of one client certificate. */
  readonly connectionsPerCertificateMax: number;
  /** To the first bytes, or to the end of the TLS handshake. */
  readonly handshakeMs: number;
  /** A connection on which nothing was read for so long is cut: a live one answers pings. */
  readonly silentMs: number;
}

export const listenerLimits: ListenerLimits = {
  connectionsMax: 24_000,
  connectionsPerCertificateMax: 64,
  handshakeMs: 10_000,
  silentMs: 90_000,
};

export interface GrpcListener extends AsyncDisposable {
  /** "HOST:PORT" as bound. */
  readonly address: string;
  /** Stops accepting, tells the clients to go (GOAWAY), cuts what is left after `graceMs` (1 s), resolves when all are gone. */
  close(graceMs?: number): Promise<void>;
}

const backlog = 4_096;
const sweepsPerSilence = 3;
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
  "connections-limit":
    "too many connections are open; is a client started again and again, or a load balancer in between?",
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
  const limits = { ...listenerLimits, ...options.limits };
  const sockets = new Set<Socket>();
  const sayRefused = limitedRefusals(options);
  const refuse: Refuse = (reason, socket, detail) => {
    sayRefused(reason, socket, detail);
    socket.destroy();
  };
  const refused = (socket: Socket, details: string): void => sayRefused("not-http2", socket, details);
  const pass = (socket: Socket): void => injector.injectConnection(socket);
  // node:http2 takes what the socket has buffered before it takes over the handle.
  const accept = (socket: Socket, first: Buffer): void => {
    if (options.front !== undefined) {
      options.front.take(socket, first, pass, refused);
      return;
    }
    socket.pause();
    if (first.length > 0) socket.unshift(first);
    pass(socket);
  };
  const begin =
    security.kind === "tls"
      ? tlsHandshakes(security, options, limits, accept, refuse)
      : plainStarts(limits, accept, refuse);
  const listener = createPlainServer({ noDelay: true }, (socket) => {
    peerOf(socket);
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    if (sockets.size > limits.connectionsMax) refuse("connections-limit", socket);
    else begin(socket);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", (error) => reject(fromErrno(error, `listen on ${printHostPort(at)} for gRPC`)));
    listener.listen({ host: at.host, port: at.port, backlog, reusePort: options.isShared ?? false }, resolve);
  });
  // As when file descriptors run out: the next connections may fare better.
  listener.on("error", (error) => options.log.error("cannot accept a connection", { problem: error.message }));
  const address = printBound(listener.address());
  const closed = new Promise<void>((resolve) => listener.once("close", resolve));
  const stopAccepting = (): void => void listener.close();
  options.signal.addEventListener("abort", stopAccepting, { once: true });
  const stopSweeps = cutSilent(sockets, limits.silentMs);
  const close = async (graceMs = 1_000): Promise<void> => {
    options.signal.removeEventListener("abort", stopAccepting);
    options.front?.goAway();
    injector.drain(graceMs);
    stopAccepting();
    const cut = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(cut);
    stopSweeps();
    injector.destroy();
  };
  return { address, close, [Symbol.asyncDispose]: () => close() };
}

// Destroys connections on which nothing was read for a while. Needed beside keepalive: node:http2 waits for ever to end a
// session whose last frames the other end does not read. Returns how to stop.
function cutSilent(sockets: ReadonlySet<Socket>, silentMs: number): () => void {
  const reads = new WeakMap<Socket, { readonly bytes: number; readonly sinceMs: number }>();
  const everyMs = silentMs / sweepsPerSilence;
  let sweptMs = performance.now();
  const sweep = (): void => {
    const nowMs = performance.now();
    // When this program was stopped for a while, what clients sent meanwhile is not read yet.
    const isLate = nowMs - sweptMs > everyMs * 2;
    sweptMs = nowMs;
    for (const socket of sockets) {
      const known = reads.get(socket);
      if (known === undefined || known.bytes !== socket.bytesRead || isLate) {
        reads.set(socket, { bytes: socket.bytesRead, sinceMs: nowMs });
      } else if (nowMs - known.sinceMs > silentMs) {
        socket.destroy();
      }
    }
  };
  const timer = setInterval(sweep, everyMs).unref();
  return () => clearInterval(timer);
}

type Accept = (socket: Socket, first: Buffer) => void;
type Refuse = (reason: RefusedReason, socket: Socket, detail?: string) => void;

function plainStarts({ handshakeMs }: ListenerLimits, accept: Accept, refuse: Refuse): (socket: Socket) => void {
  return (socket) => {
    const silent = setTimeout(() => refuse("silent", socket), handshakeMs);
    const ignore = (): void => undefined;
    socket.on("error", ignore);
    socket.once("close", () => clearTimeout(silent));
    socket.once("data", (bytes: Buffer) => {
      clearTimeout(silent);
      const speech = speechOf(bytes);
      if (speech === "http2") {
        accept(socket, bytes);
        socket.off("error", ignore);
      } else {
        refuse(speech === "tls" ? "tls-on-plain-port" : "not-http2", socket);
      }
    });
  };
}

function tlsHandshakes(
  files: Extract<ServerSecurity, { readonly kind: "tls" }>,
  options: GrpcListenerOptions,
  limits: ListenerLimits,
  accept: Accept,
  refuse: Refuse,
): (socket: Socket) => void {
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
  const material = watchTlsFiles(names, options, (changed) => handshakes.setSecureContext(contextOf(changed)));
  const { now = Date.now } = options;
  const counts = new Map<string, number>();
  // Never listens itself: what the listener accepts is given to it.
  const handshakes = createTlsServer(
    {
      ...contextOf(material),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ["h2"],
      handshakeTimeout: limits.handshakeMs,
    },
    (socket) => {
      const shown = socket.getPeerX509Certificate();
      // OpenSSL verifies no certificate again that came with a resumed session. A change of files makes new keys, which end all sessions.
      if (socket.isSessionReused() && (shown === undefined || Date.parse(shown.validTo) < now())) {
        refuse("untrusted-client-certificate", socket, "a resumed session of a certificate that has expired");
        return;
      }
      const certificate = shown?.fingerprint256 ?? "";
      const count = (counts.get(certificate) ?? 0) + 1;
      if (count > limits.connectionsPerCertificateMax) {
        refuse("connections-limit", socket);
        return;
      }
      counts.set(certificate, count);
      socket.once("close", () => {
        const left = (counts.get(certificate) ?? 0) - 1;
        if (left > 0) counts.set(certificate, left);
        else counts.delete(certificate);
      });
      accept(socket, Buffer.alloc(0));
    },
  );
  handshakes.on("tlsClientError", (error, socket) => refuse(handshakeFailure(error, socket), socket, detailOf(error)));
  return (socket) => void handshakes.emit("connection", socket);
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
function limitedRefusals(options: GrpcListenerOptions): Refuse {
  const last = new Map<RefusedReason, { at: number; unsaid: number }>();
  return (reason, socket, detail) => {
    options.refused?.(reason);
    const peer = peerOf(socket);
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
