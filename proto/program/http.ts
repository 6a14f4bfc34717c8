/**
 * A small HTTP server for people, probes and Prometheus: a table of routes over node:http, with limits. Requests have no body.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { fromErrno } from "./errno.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import { printBound, printHostPort } from "./socket-address.ts";
import type { HostPort } from "./socket-address.ts";

export interface HttpRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  /** Address of the other end, without port; a v4-mapped one is IPv4. */
  readonly peerAddress: string;
  /** Address of this end, without port; a v4-mapped one is IPv4. */
  readonly localAddress: string;
  /** The header of this name. */
  readonly accept: string | undefined;
  /** Aborts when the client goes away or the server closes. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** Default: text/plain. */
  readonly contentType?: string;
  /** Further ones, names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export type Answer = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

// An import would read every export, and that of WebSocket loads undici: 10 MB in each agent for nothing.
const { createServer } = process.getBuiltinModule("node:http");

/** Path -> what answers GET (and HEAD) there. */
export type Routes = Readonly<Record<string, Answer>>;

export interface HttpServer extends AsyncDisposable {
  /** "HOST:PORT" as bound. */
  readonly address: string;
  /** Stops listening, aborts requests under way, resolves when all connections are closed. */
  close(): Promise<void>;
}

const connectionsMax = 1_024;
const headerBytesMax = 16 * 1_024;
const headersTimeoutMs = 10_000;
const idleTimeoutMs = 30_000;
const urlCharactersMax = 4_096;
const closeGraceMs = 1_000;

/**
 * @param at An empty host: all addresses of the machine.
 * @param routes One answer instead of routes answers every path.
 * @throws ProgramError if the address cannot be bound.
 */
export async function listenHttp(at: HostPort, routes: Routes | Answer, log: Log): Promise<HttpServer> {
  const stopping = new AbortController();
  const options = { maxHeaderSize: headerBytesMax, headersTimeout: headersTimeoutMs, requestTimeout: headersTimeoutMs };
  const server = createServer({ ...options, keepAliveTimeout: idleTimeoutMs }, (request, response) => {
    void answer(routes, request, response, stopping.signal, log);
  });
  server.maxConnections = connectionsMax;
  server.on("clientError", refuseMalformed);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(fromErrno(error, `listen on ${printHostPort(at)} for HTTP`)));
    server.listen({ host: at.host, port: at.port }, resolve);
  });
  // Such as no file descriptor left for a connection: that one is lost, the program and its other connections are not.
  server.on("error", (error) => log.debug("an HTTP connection was not accepted", { error: messageOf(error) }));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      stopping.abort();
      const forced = setTimeout(() => server.closeAllConnections(), closeGraceMs);
      server.close(() => {
        clearTimeout(forced);
        resolve();
      });
      server.closeIdleConnections();
    });
  return { address: printBound(server.address()), close, [Symbol.asyncDispose]: close };
}

export function textResponse(status: number, body: string): HttpResponse {
  return { status, body: body.endsWith("\n") ? body : `${body}\n` };
}

export function jsonResponse(status: number, value: unknown): HttpResponse {
  return { status, contentType: "application/json", body: `${JSON.stringify(value)}\n` };
}

async function answer(
  routes: Routes | Answer,
  request: IncomingMessage,
  response: ServerResponse,
  stopping: AbortSignal,
  log: Log,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  request.resume();
  let result: HttpResponse;
  try {
    result = await route(routes, request, AbortSignal.any([gone.signal, stopping]));
  } catch (error) {
    if (response.destroyed) return;
    log.error("HTTP request failed", {
      path: request.url,
      error: error instanceof Error ? error.stack : messageOf(error),
    });
    result = textResponse(500, "internal error; see the log of this program");
  }
  if (response.destroyed) return;
  const body = typeof result.body === "string" ? Buffer.from(result.body) : result.body;
  if (result.status === 405) response.setHeader("allow", "GET, HEAD");
  if (stopping.aborted) response.setHeader("connection", "close");
  response.writeHead(result.status, {
    "content-type": result.contentType ?? "text/plain; charset=utf-8",
    "content-length": body.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...result.headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function route(
  routes: Routes | Answer,
  request: IncomingMessage,
  signal: AbortSignal,
): HttpResponse | Promise<HttpResponse> {
  const target = request.url ?? "/";
  if (target.length > urlCharactersMax)
    return textResponse(414, `the URL is longer than ${urlCharactersMax} characters`);
  const question = target.indexOf("?");
  const path = question < 0 ? target : target.slice(0, question);
  const found = typeof routes === "function" ? routes : Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (found === undefined) return textResponse(404, `no such page; there are: ${Object.keys(routes).join(" ")}`);
  if (request.method !== "GET" && request.method !== "HEAD") return textResponse(405, "use GET");
  return found({
    path,
    query: new URLSearchParams(question < 0 ? "" : target.slice(question + 1)),
    peerAddress: plainAddress(request.socket.remoteAddress),
    localAddress: plainAddress(request.socket.localAddress),
    accept: request.headers.accept,
    signal,
  });
}

function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}

function refuseMalformed(error: Error, socket: Duplex): void {
  if (!socket.writable || ("bytesWritten" in socket && (socket as Socket).bytesWritten > 0)) {
    socket.destroy();
    return;
  }
  const status =
    "code" in error && error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
