/** For tests: an API server in this process that speaks list and watch over HTTP/1.1, with a history, and with faults on demand. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import type { RecordKind } from "../source.ts";
import type { Access } from "./access.ts";
import { watchedKinds } from "./watched-kind.ts";

export type ApiObject = Readonly<Record<string, unknown>> & {
  readonly metadata: Readonly<Record<string, unknown>> & { readonly name: string; readonly namespace?: string };
};

interface Event {
  readonly version: number;
  readonly kind: RecordKind;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: ApiObject;
}

interface Watch {
  readonly kind: RecordKind;
  readonly response: ServerResponse;
  readonly selector: string;
  readonly twist: Twist;
}

/** How one answer goes wrong. */
export interface Twist {
  /** Answers with this status instead. */
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Never answers. */
  readonly isMute?: boolean;
  /** The connection is reset before an answer. */
  readonly isReset?: boolean;
  /** Bytes of the answer after which it is cut. */
  readonly cutAfterBytes?: number;
  /** Every event is sent twice. */
  readonly isDoubled?: boolean;
  /** Lines sent before anything else. */
  readonly first?: readonly string[];
}

export interface Asked {
  readonly kind: RecordKind;
  readonly type: "stream" | "list" | "watch";
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
}

export class ScriptedApi implements AsyncDisposable {
  /** Everything that was asked, in order. */
  readonly asked: Asked[] = [];
  /** Undefined: nothing goes wrong. */
  twist: (asked: Asked) => Twist | undefined = () => undefined;
  /** Answers in gzip, in a member for each write. */
  isGzipped = false;
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #objects = new Map<RecordKind, Map<string, ApiObject>>();
  readonly #watches = new Set<Watch>();
  readonly #lists = new Map<string, { readonly version: number; readonly items: readonly ApiObject[] }>();
  #history: Event[] = [];
  #version = 10;
  /** Versions up to here are compacted. */
  #compacted = 0;
  #tokens = 0;

  static async start(): Promise<ScriptedApi> {
    const api = new ScriptedApi();
    api.#server.listen(0, "127.0.0.1");
    await once(api.#server, "listening");
    return api;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get access(): Access {
    const server = this.address;
    const tls = { ca: undefined, cert: undefined, key: undefined, servername: undefined, rejectUnauthorized: true };
    return {
      server,
      current: async () => Promise.resolve({ server, headers: { authorization: "Bearer t" }, tls, proxy: undefined }),
      renew: () => void this.renewals++,
    };
  }

  /** Times that credentials were renewed. */
  renewals = 0;

  get version(): number {
    return this.#version;
  }

  /** Names of the objects of a kind that its selector lets through. */
  selected(kind: RecordKind): readonly string[] {
    const selector = watchedKinds.find((watched) => watched.kind === kind)?.labelSelector ?? "";
    return [...(this.#objects.get(kind) ?? [])].filter(([, object]) => matches(object, selector)).map(([name]) => name);
  }

  /** The port of a Service, the first address of a slice: "Service ns/a". */
  served(key: string): unknown {
    const [kind = "", name = ""] = key.split(" ");
    const object = this.#objects.get(kind as RecordKind)?.get(name) as Shape | undefined;
    return object?.endpoints === undefined ? object?.spec?.ports[0]?.port : object.endpoints[0]?.addresses[0];
  }

  put(kind: RecordKind, object: ApiObject): void {
    const objects = this.#objects.get(kind) ?? new Map<string, ApiObject>();
    this.#objects.set(kind, objects);
    const name = nameOf(object);
    const type = objects.has(name) ? "MODIFIED" : "ADDED";
    this.#version++;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    objects.set(name, stored);
    this.#record({ version: this.#version, kind, type, object: stored });
  }

  remove(kind: RecordKind, name: string): void {
    const object = this.#objects.get(kind)?.get(name);
    if (object === undefined) return;
    this.#objects.get(kind)?.delete(name);
    this.#version++;
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    this.#record({ version: this.#version, kind, type: "DELETED", object: last });
  }

  /** Forgets history: who goes on from before now gets a 410. Continue tokens expire. */
  compact(): void {
    this.#version++;
    this.#compacted = this.#version;
    this.#history = [];
    this.#lists.clear();
  }

  /** As after a restore from nothing. */
  loseData(): void {
    this.#objects.clear();
    this.#history = [];
    this.#lists.clear();
    this.#version = 1;
    this.#compacted = 0;
  }

  watches(kind: RecordKind): number {
    return [...this.#watches].filter((watch) => watch.kind === kind).length;
  }

  bookmark(kind: RecordKind): void {
    for (const watch of this.#of(kind)) this.#write(watch, bookmarkLine(this.#version));
  }

  /** Writes to the watches of a kind as it is. */
  say(kind: RecordKind, text: string): void {
    for (const watch of this.#of(kind)) this.#write(watch, text);
  }

  /** Ends the watches of a kind as at their timeout. */
  end(kind: RecordKind): void {
    for (const watch of this.#of(kind)) watch.response.end();
  }

  /** Breaks the connections of the watches of a kind. */
  cut(kind: RecordKind): void {
    for (const watch of this.#of(kind)) watch.response.destroy();
  }

  /** An event line as it was sent for the last change of an object. */
  lineOf(name: string): string {
    const event = this.#history.findLast((found) => nameOf(found.object) === name);
    return event === undefined ? "" : lineOf(event);
  }

  /** An event line that was sent for an object, the earliest that is remembered. */
  earlierLine(kind: RecordKind, name: string): string {
    const event = this.#history.find((found) => found.kind === kind && nameOf(found.object) === name);
    return event === undefined ? "" : lineOf(event);
  }

  /** Stops listening and breaks all connections. */
  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Listens again on the same port. */
  async restart(port: number): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await Promise.resolve();
  }

  #of(kind: RecordKind): readonly Watch[] {
    return [...this.#watches].filter((watch) => watch.kind === kind);
  }

  #record(event: Event): void {
    this.#history.push(event);
    for (const watch of this.#of(event.kind)) this.#send(watch, event);
  }

  #send(watch: Watch, event: Event): void {
    // A real one sends DELETED when an object leaves the selection, whatever happened to it.
    const isSelected = matches(event.object, watch.selector);
    if (!isSelected && event.type !== "MODIFIED") return;
    const line = lineOf(isSelected ? event : { ...event, type: "DELETED" });
    this.#write(watch, watch.twist.isDoubled === true ? line + line : line);
  }

  #write({ response, twist }: { readonly response: ServerResponse; readonly twist: Twist }, text: string): void {
    if (response.writableEnded || response.destroyed) return;
    const left = twist.cutAfterBytes === undefined ? Infinity : twist.cutAfterBytes - sentBytes(response);
    const sent = text.slice(0, Math.max(0, left));
    written.set(response, sentBytes(response) + sent.length);
    response.write(this.isGzipped ? gzipSync(sent) : sent, () => {
      if (sent.length < text.length) response.destroy();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await Promise.resolve();
    const url = new URL(request.url ?? "", "http://api");
    const found = watchedKinds.find(({ path }) => path === url.pathname);
    if (found === undefined) {
      fail(response, 404, "no such path");
      return;
    }
    const query = url.searchParams;
    const type = !query.has("watch") ? "list" : query.has("sendInitialEvents") ? "stream" : "watch";
    const asked: Asked = { kind: found.kind, type, query, headers: request.headers };
    this.asked.push(asked);
    const twist = this.twist(asked) ?? {};
    if (twist.isMute === true) return;
    if (twist.isReset === true) {
      request.socket.resetAndDestroy();
      return;
    }
    if (twist.status !== undefined) {
      for (const [name, value] of Object.entries(twist.headers ?? {})) response.setHeader(name, value);
      fail(response, twist.status, "as the test says", twist.body);
      return;
    }
    if (this.isGzipped) response.setHeader("content-encoding", "gzip");
    if (type === "list") this.#list(asked, response, twist);
    else this.#watch(asked, response, twist);
  }

  #list({ kind, query }: Asked, response: ServerResponse, twist: Twist): void {
    const token = query.get("continue");
    let list;
    let from = 0;
    if (token === null) {
      if (Number(query.get("resourceVersion") ?? 0) > this.#version) {
        tooLarge(response);
        return;
      }
      const items = [...(this.#objects.get(kind)?.values() ?? [])];
      const selector = query.get("labelSelector") ?? "";
      list = { version: this.#version, items: items.filter((object) => matches(object, selector)) };
    } else {
      const [id = "", at = "0"] = token.split("/");
      list = this.#lists.get(id);
      from = Number(at);
    }
    if (list === undefined) {
      fail(response, 410, "the continue token is too old", { reason: "Expired" });
      return;
    }
    const limit = Number(query.get("limit") ?? 0);
    const items = limit === 0 ? list.items.slice(from) : list.items.slice(from, from + limit);
    const metadata: Record<string, string> = { resourceVersion: String(list.version) };
    if (from + items.length < list.items.length) {
      const id = token?.split("/")[0] ?? String(++this.#tokens);
      this.#lists.set(id, list);
      metadata["continue"] = `${id}/${from + items.length}`;
    }
    // As in Go, the items of a list do not say their kind, and no items are null.
    const body = { kind: `${kind}List`, apiVersion: "v1", metadata, items: items.length === 0 ? null : items };
    this.#write({ response, twist }, JSON.stringify(body));
    response.end();
  }

  #watch({ kind, type, query }: Asked, response: ServerResponse, twist: Twist): void {
    const version = Number(query.get("resourceVersion") ?? 0);
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const watch: Watch = { kind, response, selector: query.get("labelSelector") ?? "", twist };
    for (const line of twist.first ?? []) this.#write(watch, line);
    if (type === "stream") {
      for (const object of this.#objects.get(kind)?.values() ?? []) {
        if (matches(object, watch.selector)) this.#write(watch, lineOf({ version: 0, kind, type: "ADDED", object }));
      }
      this.#write(watch, bookmarkLine(this.#version, true));
    } else if (version < this.#compacted) {
      const status = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };
      this.#write(watch, `${JSON.stringify({ type: "ERROR", object: status })}\n`);
      response.end();
      return;
    }
    // Newer than anything there is (lost data): nothing is sent until history gets there.
    for (const event of this.#history)
      if (event.kind === kind && type === "watch" && event.version > version) this.#send(watch, event);
    if (version > this.#version) return;
    this.#watches.add(watch);
    response.once("close", () => this.#watches.delete(watch));
  }
}

interface Shape {
  readonly spec?: { readonly ports: readonly { readonly port: number }[] };
  readonly endpoints?: readonly { readonly addresses: readonly string[] }[];
}

const written = new WeakMap<ServerResponse, number>();

function sentBytes(response: ServerResponse): number {
  return written.get(response) ?? 0;
}

function nameOf({ metadata }: ApiObject): string {
  return metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
}

function lineOf({ type, object, kind }: Event): string {
  return `${JSON.stringify({ type, object: { kind, ...object } })}\n`;
}

export function bookmarkLine(version: number, isInitialEnd = false): string {
  const annotations = isInitialEnd ? { "k8s.io/initial-events-end": "true" } : {};
  const object = { metadata: { resourceVersion: String(version), annotations } };
  return `${JSON.stringify({ type: "BOOKMARK", object })}\n`;
}

// Selectors of the form "!label".
function matches({ metadata }: ApiObject, selector: string): boolean {
  const labels = metadata["labels"];
  return selector === "" || typeof labels !== "object" || labels === null || !(selector.slice(1) in labels);
}

function tooLarge(response: ServerResponse): void {
  const details = { causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }] };
  fail(response, 504, "Timeout: Too large resource version", { reason: "Timeout", details });
}

function fail(response: ServerResponse, code: number, message: string, more: unknown = {}): void {
  response.statusCode = code;
  response.end(JSON.stringify({ kind: "Status", status: "Failure", code, message, ...(more as object) }));
}

export function serviceObject(name: string, port = 80, labels: Readonly<Record<string, string>> = {}): ApiObject {
  const spec = { clusterIP: "10.96.0.1", ports: [{ port, protocol: "TCP" }] };
  return { metadata: { namespace: "ns", name, labels }, spec };
}

export function sliceObject(
  name: string,
  addresses: readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): ApiObject {
  return {
    metadata: { namespace: "ns", name, labels: { "kubernetes.io/service-name": "s" }, ...more },
    addressType: "IPv4",
    ports: [{ name: "", port: 8080, protocol: "TCP" }],
    endpoints: addresses.map((address) => ({ addresses: [address], nodeName: "n1" })),
  };
}

export function nodeObject(name: string, zone = "z1"): ApiObject {
  return { metadata: { name, labels: { "topology.kubernetes.io/zone": zone } } };
}
