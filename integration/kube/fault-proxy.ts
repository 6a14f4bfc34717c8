/**
 * Stands in front of an API server and does to requests what networks, load balancers and overloaded servers do. It serves with the
 * API server's own certificate, so that clients need nothing but another port.
 */
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import readline from "node:readline";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { KubeApi } from "./kube-api.ts";

/** What is done to one request. Lines are those of the answer: a watch event each, or a whole list. */
export type Fault =
  /** Answered by the proxy; the API server hears nothing. */
  | { readonly kind: "answer"; readonly status: number; readonly retryAfterSeconds?: number }
  | { readonly kind: "delay"; readonly ms: number }
  /** The connection ends after so many lines and half of the next one. */
  | { readonly kind: "cut"; readonly afterLines: number }
  /** Half-open: after so many lines nothing comes any more, and the connection stays. */
  | { readonly kind: "stall"; readonly afterLines: number }
  /** Every line twice. */
  | { readonly kind: "duplicate" }
  /** After each line once the initial events are over, what was added and changed before again, oldest first; no removal. */
  | { readonly kind: "replay" }
  /** So many lines, then one that is no event. */
  | { readonly kind: "garble"; readonly afterLines: number };

export interface ProxiedRequest {
  /** Plural, such as "services". */
  readonly resource: string;
  readonly verb: "list" | "watch";
  readonly query: URLSearchParams;
}

/** What to do to a request, decided as it comes; undefined: pass it on. */
export type ChooseFault = (request: ProxiedRequest) => Fault | undefined | Promise<Fault | undefined>;

const replayedMax = 64;
const requestsKept = 10_000;

export class FaultProxy implements AsyncDisposable {
  fault: ChooseFault = () => undefined;
  /** Newest last; at most 10,000. */
  readonly requests: ProxiedRequest[] = [];
  readonly #server: https.Server;
  readonly #upstream: URL;
  readonly #agent: https.Agent;
  readonly #sockets = new Set<Socket>();
  readonly #closed = new AbortController();
  #frozen: PromiseWithResolvers<void> | undefined;

  private constructor(api: KubeApi) {
    const { certFile, keyFile } = api.certificate;
    this.#upstream = new URL(api.access.url);
    this.#agent = new https.Agent({ keepAlive: true, ca: fs.readFileSync(api.access.caFile) });
    this.#server = https.createServer(
      { cert: fs.readFileSync(certFile), key: fs.readFileSync(keyFile) },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.on("secureConnection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  static async listen(api: KubeApi): Promise<FaultProxy> {
    const proxy = new FaultProxy(api);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends every connection without a word. */
  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Nothing passes until `thaw`, in no direction; connections stay. */
  freeze(): void {
    this.#frozen ??= Promise.withResolvers<void>();
  }

  thaw(): void {
    this.#frozen?.resolve();
    this.#frozen = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.thaw();
    this.#server.close();
    this.cutConnections();
    this.#agent.destroy();
    if (this.#server.listening) await once(this.#server, "close");
  }

  // A client or a server that goes away ends the other half; neither is an error here.
  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response);
    } catch {
      response.destroy();
    }
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const proxied = describe(request);
    this.requests.push(proxied);
    if (this.requests.length > requestsKept) this.requests.shift();
    await this.#frozen?.promise;
    const fault = await this.fault(proxied);
    if (fault?.kind === "answer") {
      refuse(response, fault.status, fault.retryAfterSeconds);
      return;
    }
    if (fault?.kind === "delay") await delay(fault.ms, undefined, { signal: this.#closed.signal });

    const isPassed = fault === undefined || fault.kind === "delay";
    const answer = await this.#ask(request, response, isPassed);
    await this.#frozen?.promise;
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    // A watch may have no event for long; that it has begun is said at once.
    response.flushHeaders();
    if (isPassed) await pipeline(answer, (chunks) => this.#whileThawed(chunks as AsyncIterable<Buffer>), response);
    else await this.#spoil(answer, response, fault, proxied.query.has("sendInitialEvents"));
  }

  // The API server's answer, as soon as its headers are there. What is to be spoilt by lines must not be compressed.
  async #ask(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    isCompressible: boolean,
  ): Promise<http.IncomingMessage> {
    const { "accept-encoding": encodings, ...headers } = request.headers;
    const kept = isCompressible && encodings !== undefined ? { ...headers, "accept-encoding": encodings } : headers;
    const { hostname, port } = this.#upstream;
    const options = { agent: this.#agent, hostname, port, path: request.url, method: request.method, headers: kept };
    const asked = https.request(options);
    response.once("close", () => asked.destroy());
    request.pipe(asked);
    const [answer] = (await once(asked, "response")) as [http.IncomingMessage];
    return answer;
  }

  async *#whileThawed(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      await this.#frozen?.promise;
      yield chunk;
    }
  }

  async #spoil(
    answer: http.IncomingMessage,
    response: http.ServerResponse,
    fault: Exclude<Fault, { readonly kind: "answer" | "delay" }>,
    hasInitialEvents: boolean,
  ): Promise<void> {
    let count = 0;
    let isInitial = hasInitialEvents;
    const past: string[] = [];
    const lines = readline.createInterface({ input: answer });
    // Broken off: told from complete below.
    lines.on("error", () => {});
    for await (const line of lines) {
      await this.#frozen?.promise;
      const isLate = "afterLines" in fault && count++ >= fault.afterLines;
      if (isLate && fault.kind === "stall") continue;
      if (isLate && fault.kind === "cut") {
        response.write(line.slice(0, line.length / 2), () => response.destroy());
        return;
      }
      response.write(`${line}\n`);
      if (isLate && fault.kind === "garble") response.write("{]\n");
      if (fault.kind === "duplicate") response.write(`${line}\n`);
      if (fault.kind === "replay") {
        if (!isInitial) for (const old of past) response.write(`${old}\n`);
        if (!line.includes('"type":"DELETED"')) past.push(line);
        if (past.length > replayedMax) past.shift();
      }
      isInitial &&= !line.includes("k8s.io/initial-events-end");
    }
    if (answer.complete) response.end();
    else response.destroy();
  }
}

function describe(request: http.IncomingMessage): ProxiedRequest {
  const { pathname, searchParams } = new URL(request.url ?? "", "https://api");
  const verb = ["1", "true"].includes(searchParams.get("watch") ?? "") ? "watch" : "list";
  return { resource: pathname.split("/").at(-1) ?? "", verb, query: searchParams };
}

function refuse(response: http.ServerResponse, status: number, retryAfterSeconds: number | undefined): void {
  const after = retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
  const reason = http.STATUS_CODES[status] ?? "";
  response.writeHead(status, { "content-type": "application/json", ...after });
  response.end(
    JSON.stringify({ apiVersion: "v1", kind: "Status", status: "Failure", code: status, reason, message: reason }),
  );
}
