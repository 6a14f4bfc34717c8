import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonCodec } from "@weft/controlplane/source/kubernetes/json-codec.ts";
import type { WatchMessage } from "@weft/controlplane/source/kubernetes/codec.ts";
import { watchedKinds } from "@weft/controlplane/source/kubernetes/watched-kind.ts";
import { clusterOf } from "../cluster.ts";
import { SyntheticCluster } from "./synthetic-cluster.ts";
import type { ServedKind, WatchEvent } from "./synthetic-cluster.ts";

const shape = clusterOf(3, 120, { nodes: 2 });
const objects: Readonly<Record<ServedKind, number>> = { Service: 3, EndpointSlice: 6, Node: 2 };

// As the reflector reads it.
function messagesOf(kind: ServedKind, events: Iterable<WatchEvent>): readonly WatchMessage[] {
  const watched = watchedKinds.find((of) => of.kind === kind);
  assert.ok(watched);
  const reader = jsonCodec.watchReader(watched);
  return [...events].flatMap((event) => [...reader.push(Buffer.from(`${JSON.stringify(event)}\n`))]);
}

for (const [kind, count] of Object.entries(objects) as [ServedKind, number][]) {
  test(`initial events of ${kind} are all of them and their end, a list is the same`, () => {
    const messages = messagesOf(kind, new SyntheticCluster(shape).initialEvents(kind));
    const names = messages.flatMap((message) => (message.kind === "put" ? message.object.name : []));
    assert.equal(new Set(names).size, count);
    assert.deepEqual(messages.at(-1), { kind: "bookmark", version: "1000", isInitialEnd: true });
    const watched = watchedKinds.find((of) => of.kind === kind);
    assert.ok(watched);
    const page = jsonCodec.page(watched, Buffer.from(JSON.stringify(new SyntheticCluster(shape).list(kind))));
    assert.deepEqual([page.version, page.continueToken], ["1000", ""]);
    assert.deepEqual(
      page.objects.map(({ name }) => name),
      names,
    );
  });
}

test("a change has a version of its own, and is there for who comes later", () => {
  const cluster = new SyntheticCluster(shape);
  const [changed] = messagesOf("EndpointSlice", [cluster.change(1)]);
  assert.equal(changed?.kind === "put" && changed.version, "1001");
  cluster.change(2);
  cluster.change(1);
  const since = (version: number): readonly (string | false)[] =>
    messagesOf("EndpointSlice", cluster.eventsSince("EndpointSlice", version)).map(
      (message) => message.kind === "put" && message.object.name,
    );
  assert.deepEqual(since(1_000), ["team-0/service-2-1", "team-0/service-1-1"]);
  assert.deepEqual(since(1_002), ["team-0/service-1-1"]);
  assert.deepEqual(since(cluster.version), []);
  const later = messagesOf("EndpointSlice", cluster.initialEvents("EndpointSlice"));
  assert.equal(later.filter((message) => message.kind === "put" && message.version === "1003").length, 1);
});
