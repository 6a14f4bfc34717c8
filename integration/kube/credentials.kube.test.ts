/** The credentials that a kubeconfig can name, each shown to a real API server. */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, suite, test } from "node:test";
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import { documentedAccess } from "./documented-access.ts";
import { missingForKubeApi } from "./kube-api.ts";
import { KubeCluster } from "./kube-cluster.ts";
import { endpointsOf, serviceObject, sliceObject } from "./kube-objects.ts";
import { waitUntil } from "./wait-until.ts";

const user = "controlplane";
const logLimitMs = 60_000;

suite("a control plane that shows", { skip: missingForKubeApi() ?? false }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "weft-credentials-"));
  const role = documentedAccess().find(({ kind }) => kind === "ClusterRole");
  let cluster: KubeCluster;
  let slots = 1;

  before(async () => {
    const authority = makeAuthority(folder, "clients");
    cluster = await KubeCluster.create({ apiFlags: [`--client-ca-file=${authority.cert}`] });
    makeCertificate(folder, user, authority, `DNS:${user}`);
    await cluster.api.client.create(serviceObject("web"));
    await cluster.api.client.create(sliceObject("web", [slots]));
    await cluster.start();
    await cluster.settle();
    await cluster.killControlPlane();
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
    fs.rmSync(folder, { recursive: true });
  });

  test("a client certificate: its name is the user, who may read nothing before a role says so", async () => {
    const files = { certFile: path.join(folder, `${user}.pem`), keyFile: path.join(folder, `${user}.key`) };
    // Not through the proxy, which would have to show the certificate itself.
    await cluster.startControlPlane({ url: cluster.api.access.url, credential: { kind: "certificate", ...files } });
    await logged(new RegExp(`403.*${user}`));
    await cluster.api.client.create({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: user },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role?.metadata.name },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }],
    });
    await cluster.becomeReady();
    await follows();
    await cluster.killControlPlane();
  });

  test("what a plug-in prints, which is asked again once that is refused", async () => {
    const runs = path.join(folder, "runs");
    const command = path.join(folder, "plug-in");
    const credential = `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s"}}`;
    const script = `echo run >>'${runs}'; printf '${credential}' "$(cat '${cluster.tokenFile}')"`;
    fs.writeFileSync(command, `#!/bin/sh\n${script}\n`, { mode: 0o700 });
    await cluster.startControlPlane({ credential: { kind: "plug-in", command } });
    await cluster.becomeReady();
    await follows();
    const asked = fs.readFileSync(runs, "utf8").length;

    await revokeToken();
    await logged(/\b401\b/);
    await cluster.renewToken();
    await follows();
    assert.ok(fs.readFileSync(runs, "utf8").length > asked);
  });

  // A change comes through to all agents.
  async function follows(): Promise<void> {
    slots++;
    const endpoints = endpointsOf(Array.from({ length: slots }, (_, i) => i + 1));
    await cluster.api.client.patch(sliceObject("web", []), { endpoints });
    await cluster.settle();
  }

  // A token belongs to an account by its UID, not by its name. A running API server would believe it for 10 s more.
  async function revokeToken(): Promise<void> {
    const account = documentedAccess().find(({ kind }) => kind === "ServiceAccount");
    assert.ok(account !== undefined);
    await cluster.api.client.remove(account);
    await cluster.api.restart();
  }

  async function logged(pattern: RegExp): Promise<void> {
    await waitUntil(
      async () => (pattern.test(cluster.controlplaneLog) ? undefined : `the log says nothing like ${pattern}`),
      logLimitMs,
    );
  }
});
