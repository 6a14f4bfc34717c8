/**
 * An API server that only looks like one: it lists and streams a cluster of `cluster.ts` to watchers, and changes it on command. A
 * real one takes minutes to take in 10,000 Services. It keeps how often each service has changed, and nothing else.
 *
 * Arguments: SERVICES ENDPOINTS [NODES]. Prints `ready http://HOST:PORT`. Each line on stdin is `{"change": SERVICE}`: the last
 * endpoint of that service becomes another one, and `changed SERVICE VERSION BYTES` is printed once the event was written.
 */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import readline from "node:readline";
import { clusterOf } from "../cluster.ts";
import { SyntheticCluster } from "./synthetic-cluster.ts";
import type { ServedKind, WatchEvent } from "./synthetic-cluster.ts";

const [services = 0, endpoints = 0, nodes = 100] = process.argv.slice(2).map(Number);
const cluster = new SyntheticCluster(clusterOf(services, endpoints, { nodes }));

const paths: Readonly<Record<string, ServedKind>> = {
  "/api/v1/services": "Service",
  "/api/v1/nodes": "Node",
  "/apis/discovery.k8s.io/v1/endpointslices": "EndpointSlice",
};
/** Bytes that are written at once to a watcher; the next ones wait for room in its socket. */
const writeBytesMax = 256 * 1_024;
const bookmarkEveryMs = 30_000;

const watchers = new Map<http.ServerResponse, ServedKind>();

const server = http.createServer((request, response) => {
  answer(request, response).catch((error: unknown) => response.destroy(error as Error));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
setInterval(() => {
  for (const [response, kind] of watchers) response.write(lineOf(cluster.bookmark(kind, false)));
}, bookmarkEveryMs);
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { change } = JSON.parse(line) as { readonly change: number };
  const event = lineOf(cluster.change(change));
  for (const [response, kind] of watchers) if (kind === "EndpointSlice") response.write(event);
  process.stdout.write(`changed ${change} ${cluster.version} ${Buffer.byteLength(event)}\n`);
});
process.stdout.write(`ready http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);

async function answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://api");
  const kind = paths[url.pathname];
  response.setHeader("content-type", "application/json");
  if (kind === undefined) {
    response.statusCode = 404;
    response.end(
      JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 }),
    );
    return;
  }
  if (url.searchParams.get("watch") !== "1") {
    response.end(JSON.stringify(cluster.list(kind)));
    return;
  }
  if (url.searchParams.get("sendInitialEvents") === "true") {
    await writeAll(response, cluster.initialEvents(kind));
  } else {
    await writeAll(response, cluster.eventsSince(kind, Number(url.searchParams.get("resourceVersion"))));
  }
  watchers.set(response, kind);
  response.on("close", () => watchers.delete(response));
  setTimeout(() => response.end(), Number(url.searchParams.get("timeoutSeconds") ?? 300) * 1_000).unref();
}

async function writeAll(response: http.ServerResponse, events: Iterable<WatchEvent>): Promise<void> {
  let text = "";
  for (const event of events) {
    text += lineOf(event);
    if (text.length < writeBytesMax) continue;
    if (!response.write(text)) await once(response, "drain");
    text = "";
  }
  response.write(text);
}

function lineOf(event: WatchEvent): string {
  return `${JSON.stringify(event)}\n`;
}
