import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bookmarkLine, nodeObject, ScriptedApi, serviceObject, sliceObject } from "./scripted-api.ts";
import type { Asked, Twist } from "./scripted-api.ts";
import { SourceRun } from "./testing-kubernetes-source.ts";

/** As an API server before WatchList. */
const refuseStreams = (asked: Asked): Twist | undefined => (asked.type === "stream" ? { status: 422 } : undefined);

/** The first requests that `is` says so go wrong. */
function firstTimes(times: number, is: (asked: Asked) => boolean, twist: Twist): (asked: Asked) => Twist | undefined {
  let left = times;
  return (asked) => (is(asked) && left-- > 0 ? twist : undefined);
}

const isService = ({ kind, type }: Asked): boolean => kind === "Service" && type !== "list";

describe("reading everything", () => {
  for (const [name, twist] of [
    ["initial events", () => undefined],
    ["pages of a list", refuseStreams],
  ] as const) {
    test(`by ${name}: each kind with its selector, synced once, one watch per kind`, async () => {
      await using api = await ScriptedApi.start();
      api.twist = twist;
      for (let i = 0; i < 5; i++) api.put("Service", serviceObject(`s${i}`));
      api.put("Service", serviceObject("foreign", 80, { "service.kubernetes.io/service-proxy-name": "" }));
      api.put("EndpointSlice", sliceObject("a", ["10.0.0.1"]));
      api.put(
        "EndpointSlice",
        sliceObject("headless", ["10.0.0.1"], { labels: { "service.kubernetes.io/headless": "" } }),
      );
      api.put("Node", nodeObject("n1"));
      api.put("ServiceCIDR", { metadata: { name: "kubernetes" }, spec: { cidrs: ["10.96.0.0/12"] } });
      await using run = SourceRun.start(api, { pageSize: 2 });
      await run.until(() => run.timesSynced === 1);
      const expected = ["EndpointSlice ns/a", "Node n1", "Service ns/s0", "Service ns/s1", "Service ns/s2"];
      assert.deepEqual([...run.records.keys()].toSorted(), [
        ...expected,
        "Service ns/s3",
        "Service ns/s4",
        "ServiceCIDR kubernetes",
      ]);
      assert.ok(run.batches.every(({ isRelist, noticedAtMs }) => isRelist && noticedAtMs > 1e12));
      const kinds = ["Service", "EndpointSlice", "Node", "ServiceCIDR"] as const;
      await run.until(() => kinds.every((kind) => api.watches(kind) === 1));
      const pages = api.asked.filter(({ kind, type }) => kind === "Service" && type === "list").length;
      assert.equal(pages, name === "initial events" ? 0 : 3);
      for (const { headers, kind } of api.asked) {
        assert.equal(headers["user-agent"], "weft-controlplane/1.2.3");
        assert.equal(headers.authorization, "Bearer t");
        assert.equal((headers.accept ?? "").includes("as=PartialObjectMetadata"), kind === "Node");
      }
      await run.until(() => run.metric('weft_kubernetes_watches_open{kind="Service"}') === 1);
      assert.equal(run.metric('weft_kubernetes_records{kind="Service"}'), 5);
    });
  }

  test("with compressed answers in several members", async () => {
    await using api = await ScriptedApi.start();
    api.isGzipped = true;
    for (let i = 0; i < 50; i++) api.put("Service", serviceObject(`s${i}`));
    await using run = await SourceRun.synced(api);
    assert.equal(run.records.size, 50);
    api.put("Service", serviceObject("s1", 81));
    await run.until(() => run.changes.includes("put ns/s1 81"));
  });

  test("API servers without ServiceCIDRs have none", async () => {
    await using api = await ScriptedApi.start();
    api.twist = ({ kind }) => (kind === "ServiceCIDR" ? { status: 404 } : undefined);
    await using run = SourceRun.start(api);
    await run.until(() => run.timesSynced === 1);
    assert.equal(run.metric('weft_kubernetes_errors_total{kind="ServiceCIDR",code="404"}'), 0);
  });

  test("is not synced, and says why, while one kind is forbidden", async () => {
    await using api = await ScriptedApi.start();
    api.twist = ({ kind }) =>
      kind === "Node" ? { status: 403, body: { message: 'User "u" cannot list nodes' } } : undefined;
    await using run = SourceRun.start(api);
    await run.until(() => run.source.missing().some((text) => text.includes("403")));
    await run.until(() => run.source.missing().length === 1);
    const [missing = ""] = run.source.missing();
    assert.match(missing, /forbids nodes \(403\): User "u" cannot list nodes; grant get, list and watch on nodes/);
    assert.equal(run.timesSynced, 0);
    api.twist = () => undefined;
    await run.until(() => run.timesSynced === 1);
    assert.deepEqual(run.source.missing(), []);
  });

  test("what a stream brought that broke is forgotten: it may be gone by now", async () => {
    await using api = await ScriptedApi.start();
    for (const service of ["a", "b", "c"]) api.put("Service", serviceObject(service));
    let times = 0;
    api.twist = (asked) => {
      if (!isService(asked)) return undefined;
      if (times++ === 0) return { cutAfterBytes: api.lineOf("ns/a").length + 20 };
      api.remove("Service", "ns/a");
      return undefined;
    };
    await using run = SourceRun.start(api);
    await run.until(() => run.timesSynced === 1);
    assert.deepEqual([...run.records.keys()], ["Service ns/b", "Service ns/c"]);
  });

  test("a continue token that expires leads to one list in one page", async () => {
    await using api = await ScriptedApi.start();
    for (let i = 0; i < 9; i++) api.put("Service", serviceObject(`s${i}`));
    const expire = firstTimes(1, ({ query }) => query.has("continue"), { status: 410, body: { reason: "Expired" } });
    api.twist = (asked) => refuseStreams(asked) ?? expire(asked);
    await using run = await SourceRun.synced(api, { pageSize: 4 });
    assert.equal(run.records.size, 9);
    assert.equal(run.metric('weft_kubernetes_errors_total{kind="Service",code="410"}'), 1);
  });

  test("what is no list removes nothing", async () => {
    await using api = await ScriptedApi.start();
    api.put("Service", serviceObject("s"));
    await using run = await SourceRun.synced(api);
    let lists = 0;
    api.twist = ({ type, kind }) => {
      if (type === "stream") return { status: 400 };
      if (type !== "list" || kind !== "Service") return undefined;
      return [{ status: 200, body: { kind: "Page" } }, { cutAfterBytes: 60 }, undefined][lists++];
    };
    api.put("Service", serviceObject("s", 81));
    api.compact();
    api.cut("Service");
    await run.until(
      () => lists === 3 && run.metric('weft_kubernetes_syncs_total{kind="Service",reason="expired"}') === 1,
    );
    assert.deepEqual(run.changes, ["put ns/s 81"]);
  });
});

describe("following", () => {
  test("changes of one burst are one batch, and are no relist", async () => {
    await using api = await ScriptedApi.start();
    await using run = await SourceRun.synced(api);
    api.put("Service", serviceObject("a"));
    api.put("EndpointSlice", sliceObject("x", ["10.0.0.1"]));
    api.put("EndpointSlice", sliceObject("y", ["10.0.0.2"]));
    api.remove("Service", "ns/a");
    await run.until(() => run.changes.length === 4);
    assert.ok(run.batches.every(({ isRelist }) => !isRelist));
    assert.ok(run.batches.length < 4, `${run.batches.length} batches`);
    assert.deepEqual([...run.records.keys()], ["EndpointSlice ns/x", "EndpointSlice ns/y"]);
  });

  test("events that change nothing that is served are no changes", async () => {
    await using api = await ScriptedApi.start();
    api.put("EndpointSlice", sliceObject("x", ["10.0.0.1"]));
    await using run = await SourceRun.synced(api);
    const annotations = { "endpoints.kubernetes.io/last-change-trigger-time": "2026-11-23T09:00:00Z", other: "1" };
    const labels = { "kubernetes.io/service-name": "s" };
    api.put("EndpointSlice", sliceObject("x", ["10.0.0.1"], { labels, annotations }));
    api.put("EndpointSlice", sliceObject("y", ["10.0.0.2"]));
    await run.until(() => run.changes.length > 0);
    assert.deepEqual(run.changes, ["put ns/y"]);
  });

  test("an object that gains the label of another proxy leaves, and comes back without it", async () => {
    await using api = await ScriptedApi.start();
    api.put("Service", serviceObject("a"));
    await using run = await SourceRun.synced(api);
    api.put("Service", serviceObject("a", 80, { "service.kubernetes.io/service-proxy-name": "other" }));
    await run.until(() => run.records.size === 0);
    api.put("Service", serviceObject("a", 81));
    await run.until(() => run.records.size === 1);
  });

  test("a refused object stays as it was, is named once with its field, and again when it is well", async () => {
    await using api = await ScriptedApi.start();
    api.put("Service", serviceObject("a", 80));
    await using run = await SourceRun.synced(api);
    api.put("Service", serviceObject("a", 99_999));
    await run.until(() => run.refused.length > 0);
    api.put("Service", serviceObject("a", 99_999));
    api.put("Service", serviceObject("b"));
    await run.until(() => run.records.has("Service ns/b"));
    assert.equal(run.refused.length, 1);
    assert.match(run.refused[0] ?? "", /^Service ns\/a: spec\.ports\[0\]\.port: /);
    assert.ok(run.records.has("Service ns/a"));
    api.put("Service", serviceObject("a", 81));
    await run.until(() => run.cleared.length > 0);
    assert.deepEqual(run.cleared, run.refused);
    assert.deepEqual(run.changes, ["put ns/b 80", "put ns/a 81"]);
  });

  test("events sent twice and old ones again change nothing", async () => {
    await using api = await ScriptedApi.start();
    api.put("Service", serviceObject("a", 80));
    api.put("Service", serviceObject("b", 80));
    await using run = await SourceRun.synced(api);
    const old = api.lineOf("ns/b");
    api.twist = () => ({ isDoubled: true });
    await run.rewatched(api, "Service", () => api.cut("Service"));
    api.put("Service", serviceObject("b", 82));
    api.remove("Service", "ns/a");
    api.say("Service", old);
    api.put("Service", serviceObject("c", 80));
    await run.until(() => run.changes.includes("put ns/c 80"));
    assert.deepEqual(run.changes, ["put ns/b 82", "remove ns/a", "put ns/c 80"]);
    await run.until(() => run.metric('weft_kubernetes_events_total{kind="Service",type="replay"}') === 4);
  });

  test("objects cut into small pieces, and many in one, are the same", async () => {
    await using api = await ScriptedApi.start();
    await using run = await SourceRun.synced(api);
    const line = JSON.stringify({
      type: "ADDED",
      object: { ...serviceObject("ä"), metadata: { namespace: "ns", name: "cut", resourceVersion: "900" } },
    });
    for (const character of `${line}\n\n`) {
      api.say("Service", character);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await run.until(() => run.changes.length === 1);
    assert.deepEqual(run.changes, ["put ns/cut 80"]);
  });
});

describe("when the API server", () => {
  test("ends a watch, the next goes on where it ended", async () => {
    await using api = await ScriptedApi.start();
    await using run = await SourceRun.synced(api, { shortWatchMs: 0 });
    api.put("Service", serviceObject("a"));
    await run.until(() => run.changes.length === 1);
    await run.rewatched(api, "Service", () => api.end("Service"));
    assert.deepEqual(
      api.asked.map(({ type, query }) => [type, query.get("resourceVersion")]),
      [["watch", String(api.version)]],
    );
    assert.equal(run.metric('weft_kubernetes_errors_total{kind="Service",code="short-watch"}'), 0);
  });

  test("ends watches at once, that is a failure", async () => {
    await using api = await ScriptedApi.start();
    await using run = await SourceRun.synced(api, { shortWatchMs: 60_000 });
    await run.rewatched(api, "Node", () => api.end("Node"));
    assert.equal(run.metric('weft_kubernetes_errors_total{kind="Node",code="short-watch"}'), 0);
    api.end("Node");
    await run.until(() => run.metric('weft_kubernetes_errors_total{kind="Node",code="short-watch"}') === 1);
  });

  test("breaks a connection within a line, nothing is lost and nothing is invented", async () => {
    await using api = await ScriptedApi.start();
    api.put("Service", serviceObject("a"));
    await using run = await SourceRun.synced(api);
    api.twist = firstTimes(1, ({ type }) => type === "watch", { cutAfterBytes: 250 });
    await run.rewatched(api, "Service", () => api.cut("Service"));
    api.put("Service", serviceObject("b"));
    api.put("Service", serviceObject("c"));
    await run.until(() => run.records.size === 3);
    assert.deepEqual(run.changes, ["put ns/b 80", "put ns/c 80"]);
    assert.ok(run.metric('weft_kubernetes_errors_total{kind="Service",code="torn"}') >= 2);
  });

  for (const [name, twist] of [
    ["initial events", () => undefined],
    ["lists", refuseStreams],
  ] as const) {
    test(`forgot its history (410), everything is compared by ${name}: only differences count`, async () => {
      await using api = await ScriptedApi.start();
      api.twist = twist;
      for (const service of ["a", "b", "c"]) api.put("Service", serviceObject(service));
      await using run = await SourceRun.synced(api);
      api.twist = firstTimes(2, ({ kind, type }) => kind === "Service" && type === "watch", { status: 429 });
      api.cut("Service");
      await run.until(() => api.asked.length > 0);
      api.put("Service", serviceObject("b", 81));
      api.remove("Service", "ns/c");
      api.put("Service", serviceObject("d"));
      api.compact();
      api.twist = twist;
      await run.until(() => run.metric('weft_kubernetes_syncs_total{kind="Service",reason="expired"}') === 1);
      assert.deepEqual(run.changes.toSorted(), ["put ns/b 81", "put ns/d 80", "remove ns/c"]);
      assert.deepEqual(
        run.batches.map(({ isRelist }) => isRelist),
        [true],
      );
    });
  }

  test("forgot its history and nothing differs, no more is said than that it was compared", async () => {
    await using api = await ScriptedApi.start();
    api.put("Service", serviceObject("a"));
    await using run = await SourceRun.synced(api);
    api.compact();
    api.cut("Service");
    await run.until(() => run.metric('weft_kubernetes_syncs_total{kind="Service",reason="expired"}') === 1);
    assert.deepEqual(run.batches, []);
    assert.deepEqual(run.compared, ["Service"]);
  });

  test("is away and comes back, nothing is removed meanwhile, and everything is compared", async () => {
    await using api = await ScriptedApi.start();
    api.put("Service", serviceObject("a"));
    await using run = await SourceRun.synced(api);
    const port = Number(new URL(api.address).port);
    api.stop();
    await run.until(() => run.metric('weft_kubernetes_errors_total{kind="Service",code="unreachable"}') > 0);
    api.put("Service", serviceObject("b"));
    await api.restart(port);
    await run.until(() => run.records.size === 2);
    assert.deepEqual(run.changes, ["put ns/b 80"]);
    assert.ok(api.renewals > 0);
  });

  for (const [reason, twist] of [
    ["outage", () => undefined],
    ["too-large", refuseStreams],
  ] as const) {
    test(`comes back without its data, that is seen although its history is younger (${reason})`, async () => {
      await using api = await ScriptedApi.start();
      api.twist = twist;
      for (const service of ["a", "b"]) api.put("Service", serviceObject(service));
      await using run = await SourceRun.synced(api);
      const port = Number(new URL(api.address).port);
      api.stop();
      await run.until(() => run.metric('weft_kubernetes_errors_total{kind="Service",code="unreachable"}') > 0);
      api.loseData();
      await api.restart(port);
      await run.until(() => run.metric(`weft_kubernetes_syncs_total{kind="Service",reason="${reason}"}`) === 1);
      assert.deepEqual(run.changes, ["remove ns/a", "remove ns/b"]);
      assert.deepEqual(
        run.batches.map(({ isRelist }) => isRelist),
        [true],
      );
    });
  }

  test("says nothing for too long, everything is compared over a new connection", async () => {
    await using api = await ScriptedApi.start();
    await using run = await SourceRun.synced(api, { quietMs: 200 });
    api.bookmark("Service");
    await run.until(() => run.metric('weft_kubernetes_syncs_total{kind="Service",reason="silent"}') > 0);
    assert.ok(run.metric('weft_kubernetes_errors_total{kind="Service",code="silent"}') > 0);
    assert.equal(run.metric('weft_kubernetes_errors_total{kind="Node",code="silent"}'), 0);
  });

  test("does not answer at all, the request is given up", async () => {
    await using api = await ScriptedApi.start();
    api.twist = firstTimes(1, isService, { isMute: true });
    await using run = SourceRun.start(api, { listQuietMs: 200 });
    await run.until(() => run.timesSynced === 1);
    assert.equal(run.metric('weft_kubernetes_errors_total{kind="Service",code="silent"}'), 1);
  });

  test("refuses credentials (401), they are read again at once", async () => {
    await using api = await ScriptedApi.start();
    api.twist = firstTimes(1, isService, { status: 401 });
    await using run = SourceRun.start(api);
    await run.until(() => run.timesSynced === 1);
    assert.equal(api.renewals, 1);
  });

  for (const [code, twist] of [
    ["429", { status: 429, headers: { "retry-after": "1" } }],
    ["500", { status: 500 }],
    ["503", { status: 503, body: "not JSON" }],
    ["unreachable", { isReset: true }],
    ["malformed", { first: ["<html>\n"] }],
    ["500", { first: [`{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd"}}\n`] }],
    ["torn", { cutAfterBytes: 30 }],
  ] as const) {
    test(`fails (${code}), it is tried again and heals: ${JSON.stringify(twist).slice(0, 40)}`, async () => {
      await using api = await ScriptedApi.start();
      api.put("Service", serviceObject("a"));
      api.twist = firstTimes(1, isService, twist);
      await using run = SourceRun.start(api);
      await run.until(() => run.timesSynced === 1);
      assert.equal(run.metric(`weft_kubernetes_errors_total{kind="Service",code="${code}"}`), 1);
      assert.deepEqual([...run.records.keys()], ["Service ns/a"]);
    });
  }

  test("ignores the wish for initial events, it is asked for lists", async () => {
    await using api = await ScriptedApi.start();
    api.put("Service", serviceObject("a"));
    api.twist = ({ type }) => (type === "stream" ? { first: [bookmarkLine(5)] } : undefined);
    await using run = SourceRun.start(api);
    await run.until(() => run.timesSynced === 1);
    assert.deepEqual([...run.records.keys()], ["Service ns/a"]);
  });
});

test("it ends when it is told to, also while a request is under way", async () => {
  await using api = await ScriptedApi.start();
  api.twist = ({ kind }) => (kind === "Node" ? { isMute: true } : undefined);
  const run = SourceRun.start(api);
  await run.until(() => api.watches("Service") === 1);
  await run[Symbol.asyncDispose]();
  await run.until(() => api.watches("Service") === 0);
});
