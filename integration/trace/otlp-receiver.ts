/** A collector for tests: takes OTLP over HTTP/protobuf and keeps the spans. It can be told to refuse, and to hang. */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { decodeSpans } from "./otlp-decoder.ts";
import type { DecodedSpan } from "./otlp-decoder.ts";

export type Behaviour = "take" | "refuse" | "hang";

const waitMs = 60_000;

export class OtlpReceiver implements AsyncDisposable {
  readonly spans: DecodedSpan[] = [];
  /** Requests, refused ones included. */
  requests = 0;
  behaviour: Behaviour = "take";
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async listen(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  /** For --otlp-endpoint. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves once what was received is so. @returns What `is` returned. */
  async until<T>(what: string, is: (spans: readonly DecodedSpan[]) => T | undefined | false): Promise<T> {
    for (const untilMs = performance.now() + waitMs; ; await delay(20)) {
      const found = is(this.spans);
      if (found !== undefined && found !== false) return found;
      if (performance.now() < untilMs) continue;
      const names = this.spans.map(({ name, attributes }) => `${name} ${attributes["weft.node"] ?? ""}`);
      throw new Error(`waited in vain for ${what}; there are ${names.join(", ")}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    const body = await buffer(request);
    if (this.behaviour === "hang") return;
    const isExport =
      request.method === "POST" &&
      request.url === "/v1/traces" &&
      request.headers["content-type"] === "application/x-protobuf";
    if (this.behaviour === "refuse" || !isExport) {
      response.writeHead(isExport ? 400 : 404).end();
      return;
    }
    this.spans.push(...decodeSpans(request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body));
    // An ExportTraceServiceResponse without a partial success is empty.
    response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
  }
}
