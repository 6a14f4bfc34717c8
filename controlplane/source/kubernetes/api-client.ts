/**
 * The one HTTP client of all reflectors: GET with credentials, answers as bytes. Connections are kept, one for each watch that is
 * open. HTTP/1.1 on purpose: a stalled connection then takes one watch with it, and a watch that is dropped is a socket closed.
 */
import { createGunzip } from "node:zlib";
import type { Readable } from "node:stream";
import { Agent, ProxyAgent, request } from "undici";
import type { Dispatcher } from "undici";
import type { Access, ApiAccess } from "./access.ts";
import type { ApiFailure } from "./api-failure.ts";
import { statusFailure } from "./api-status.ts";
import { transportFailure } from "./transport-failure.ts";

const connectTimeoutMs = 10_000;
/** A plug-in that asks a person or hangs. */
const credentialsTimeoutMs = 60_000;
/** An idle peer that is gone is noticed by TCP after this and ten probes, one a second. */
const keepAliveProbeMs = 20_000;
/** How long an idle connection is kept for the next list or watch. */
const keepAliveMs = 30_000;
/** Of a Status. */
const errorBytesMax = 65_536;
/** Of one page of a list, which is in memory at once. An old API server ignores the limit of a list from its cache. */
const pageBytesMax = 512 * 1_024 * 1_024;

export class ApiError extends Error {
  readonly failure: ApiFailure;

  constructor(failure: ApiFailure, cause?: unknown) {
    super(failure.kind, { cause });
    this.failure = failure;
  }
}

export interface ApiRequest {
  /** Path and query. */
  readonly path: string;
  readonly accept: string;
  /** Aborts the request. */
  readonly signal: AbortSignal;
}

export class ApiClient {
  readonly #access: Access;
  readonly #userAgent: string;
  #dispatcher: Dispatcher | undefined;
  // What the dispatcher was made of.
  #madeOf: string = "";
  // Plug-ins are programs: one at a time, also for four reflectors that start together.
  #pending: Promise<ApiAccess> | undefined;

  constructor(access: Access, userAgent: string) {
    this.#access = access;
    this.#userAgent = userAgent;
  }

  get server(): string {
    return this.#access.server;
  }

  renewCredentials(): void {
    this.#access.renew();
  }

  /** The bytes of an answer as they come, after its 200. @throws ApiError */
  async *chunks(asked: ApiRequest, opened: () => void): AsyncGenerator<Uint8Array, void, undefined> {
    const body = await this.#get(asked);
    opened();
    try {
      for await (const chunk of body as AsyncIterable<Uint8Array>) yield chunk;
    } catch (error) {
      throw asked.signal.aborted ? error : new ApiError(transportFailure(error, true), error);
    } finally {
      body.destroy();
    }
  }

  /** A whole answer. @throws ApiError */
  async whole(asked: ApiRequest, heard: () => void): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of this.chunks(asked, heard)) {
      heard();
      bytes += chunk.length;
      if (bytes > pageBytesMax) {
        throw new ApiError({ kind: "malformed", message: `a page of more than ${pageBytesMax} bytes` });
      }
      parts.push(chunk);
    }
    return Buffer.concat(parts);
  }

  async close(): Promise<void> {
    await this.#dispatcher?.destroy();
  }

  async #get({ path, accept, signal }: ApiRequest): Promise<Readable> {
    const access = await this.#credentials(signal);
    let answer: Dispatcher.ResponseData;
    try {
      answer = await request(access.server + path, {
        dispatcher: this.#dispatcherFor(access),
        headers: { ...access.headers, accept, "accept-encoding": "gzip", "user-agent": this.#userAgent },
        signal,
        // The reflector has its own idea of how long silence may last.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
    } catch (error) {
      throw signal.aborted ? error : new ApiError(transportFailure(error, false), error);
    }
    const body = decoded(answer);
    if (answer.statusCode === 200) return body;
    const retryAfter = [answer.headers["retry-after"]].flat()[0];
    throw new ApiError(statusFailure(await readStatus(body), answer.statusCode, retryAfter, Date.now()));
  }

  async #credentials(signal: AbortSignal): Promise<ApiAccess> {
    this.#pending ??= this.#access.current().finally(() => (this.#pending = undefined));
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(credentialsTimeoutMs)]);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const stop = (): void => reject(new Error(`the plug-in gave none in ${credentialsTimeoutMs / 1_000} s`));
    bounded.addEventListener("abort", stop, { once: true });
    try {
      return await Promise.race([this.#pending, late]);
    } catch (error) {
      const message = error instanceof Error ? error.message.replaceAll(/\s+/g, " ").trim() : String(error);
      throw new ApiError({ kind: "credentials", message: message.slice(0, 512) }, error);
    } finally {
      bounded.removeEventListener("abort", stop);
    }
  }

  // A new one when the certificates, the CA or the address are other ones; the old one ends with its last watch.
  #dispatcherFor(access: ApiAccess): Dispatcher {
    const { tls, proxy } = access;
    const madeOf = JSON.stringify([
      access.server,
      proxy,
      { ...tls, ca: text(tls.ca), cert: text(tls.cert), key: text(tls.key) },
    ]);
    if (this.#dispatcher !== undefined && this.#madeOf === madeOf) return this.#dispatcher;
    const old = this.#dispatcher;
    this.#madeOf = madeOf;
    this.#dispatcher = proxy === undefined ? directly(tls) : through(proxy, tls);
    void old?.close();
    return this.#dispatcher;
  }
}

const lasting = { allowH2: false, pipelining: 1, keepAliveTimeout: keepAliveMs, keepAliveMaxTimeout: keepAliveMs };
const connecting = { timeout: connectTimeoutMs, keepAlive: true, keepAliveInitialDelay: keepAliveProbeMs };

function directly(tls: ApiAccess["tls"]): Dispatcher {
  return new Agent({ ...lasting, connect: { ...connecting, ...given(tls) } });
}

function through(proxy: string, tls: ApiAccess["tls"]): Dispatcher {
  return new ProxyAgent({ ...lasting, uri: proxy, requestTls: given(tls), connect: connecting });
}

function given({ ca, cert, key, servername, rejectUnauthorized }: ApiAccess["tls"]): Record<string, unknown> {
  const all = { ca: pem(ca), cert: pem(cert), key: pem(key), servername, rejectUnauthorized };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function pem(value: Uint8Array | string | undefined): Buffer | string | undefined {
  return value === undefined || typeof value === "string" ? value : Buffer.from(value);
}

function text(value: Uint8Array | string | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString("latin1");
}

// API servers compress long answers, also in several members.
function decoded({ headers, body }: Dispatcher.ResponseData): Readable {
  if (headers["content-encoding"] !== "gzip") return body;
  const gunzip = createGunzip();
  body.on("error", (error) => gunzip.destroy(error));
  gunzip.on("close", () => body.destroy());
  return body.pipe(gunzip);
}

// Undefined: not JSON, such as the page of a proxy.
async function readStatus(body: Readable): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      parts.push(chunk);
      bytes += chunk.length;
      if (bytes > errorBytesMax) break;
    }
    return JSON.parse(Buffer.concat(parts).toString("utf8")) as unknown;
  } catch {
    return undefined;
  } finally {
    body.destroy();
  }
}
