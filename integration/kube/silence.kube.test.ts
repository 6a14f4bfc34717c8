/** A real API server that says nothing any more over connections that stay: the deadline of a watch, made short. */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, suite, test } from "node:test";
import { KubeConfigAccess } from "@weft/controlplane/source/kubernetes/kube-config-access.ts";
import { KubernetesSource } from "@weft/controlplane/source/kubernetes/kubernetes-source.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { KubeApi, missingForKubeApi } from "./kube-api.ts";
import { namespaceObject, serviceObject } from "./kube-objects.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { waitUntil } from "./wait-until.ts";

const waitLimitMs = 90_000;
// The API server itself ends these watches after 4 to 8 s: so long without a word is no accident.
const limits = { watchSecondsMin: 4, watchMarginMs: 8_000, quietMs: 16_000, listQuietMs: 16_000 };

suite("an API server that falls silent", { skip: missingForKubeApi() ?? false }, () => {
  let root = "";
  let api: KubeApi;
  let proxy: FaultProxy;

  before(async () => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), "weft-silence-"));
    api = await KubeApi.start({ folder: path.join(root, "api") });
    proxy = await FaultProxy.listen(api);
    await api.client.create(namespaceObject);
    await api.client.create(serviceObject("before"));
  });

  after(async () => {
    await proxy[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
    fs.rmSync(root, { recursive: true });
  });

  test("is asked for everything over new connections, and what came meanwhile is found", async () => {
    const run = startSource();
    try {
      await waitUntil(async () => (run.services.has("shop/before") ? undefined : "nothing came yet"), waitLimitMs);
      assert.equal(run.metric("errors_total", "silent"), 0);

      proxy.freeze();
      await api.client.create(serviceObject("meanwhile"));
      await waitUntil(
        async () => (run.metric("errors_total", "silent") > 0 ? undefined : "the silence was not noticed"),
        waitLimitMs,
      );
      assert.equal(run.services.has("shop/meanwhile"), false);

      proxy.thaw();
      await waitUntil(
        async () => (run.services.has("shop/meanwhile") ? undefined : "what came meanwhile is not known"),
        waitLimitMs,
      );
      assert.ok(run.metric("syncs_total", "silent") > 0);
      assert.ok(run.services.has("shop/before"));
    } finally {
      await run.stop();
    }
  });

  function startSource(): RunningSource {
    const kubeconfig = path.join(root, "kubeconfig");
    writeKubeconfig(kubeconfig, { ...api.access, url: proxy.url });
    const metrics = new Metrics();
    const source = new KubernetesSource({
      access: KubeConfigAccess.open({ kind: "kubeconfig", file: kubeconfig, context: undefined }),
      log: silentLog,
      metrics,
      version: "test",
      onRefusals: () => {},
      limits,
    });
    const services = new Set<string>();
    const end = new AbortController();
    const done = source.run(
      {
        synced: () => {},
        changes: ({ changes }) => {
          for (const change of changes) {
            if (change.op === "put" && change.record.kind === "Service") services.add(change.record.name);
            if (change.op === "remove" && change.kind === "Service") services.delete(change.name);
          }
        },
      },
      end.signal,
    );
    return {
      services,
      metric: (name, of) => valueOf(metrics.print(), `weft_kubernetes_${name}{kind="Service"`, `"${of}"}`),
      stop: async () => {
        end.abort();
        await done;
      },
    };
  }
});

interface RunningSource {
  /** "namespace/name" */
  readonly services: ReadonlySet<string>;
  /** Of kind Service, by its other label. */
  readonly metric: (name: "events_total" | "errors_total" | "syncs_total", of: string) => number;
  readonly stop: () => Promise<void>;
}

// 0: there is no such sample.
function valueOf(metrics: string, start: string, end: string): number {
  const sample = metrics.split("\n").find((line) => line.startsWith(start) && line.includes(end));
  return Number(sample?.split(" ").at(-1) ?? 0);
}
