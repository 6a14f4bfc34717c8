import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import { KubeConfigAccess } from "./kube-config-access.ts";
import { SourceRun } from "./testing-kubernetes-source.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-kubeconfig-"));
after(() => rmSync(folder, { recursive: true }));

let files = 0;

function kubeconfig(text: string): string {
  const file = join(folder, `config-${files++}`);
  writeFileSync(file, text);
  return file;
}

function withUser(user: string, cluster = 'server: "https://10.0.0.1:6443"'): string {
  return kubeconfig(`
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {${cluster}}}]
users: [{name: u, user: ${user}}]
contexts: [{name: one, context: {cluster: c, user: u}}, {name: two, context: {cluster: c, user: missing}}, {name: three, context: {cluster: c}}]
current-context: one
`);
}

const open = (file: string, context?: string): KubeConfigAccess =>
  KubeConfigAccess.open({ kind: "kubeconfig", file, context });

const refused: readonly (readonly [name: string, file: () => string, context: string | undefined, says: RegExp])[] = [
  ["a file that is missing", () => "/nowhere/config", undefined, /--kubeconfig \/nowhere\/config: no such file/],
  ["a folder", () => folder, undefined, /it is a folder, not a file/],
  ["no YAML", () => kubeconfig("a: b: c: ["), undefined, /is not a kubeconfig: /],
  ["an empty file", () => kubeconfig(""), undefined, /is not a kubeconfig: |has no current context/],
  ["a text", () => kubeconfig("hello"), undefined, /has no current context|is not a kubeconfig/],
  ["no context", () => kubeconfig("apiVersion: v1\nkind: Config\nclusters: []\n"), undefined, /has no current context/],
  ["an unknown context", () => withUser("{}"), "four", /it has no context "four".*/],
  [
    "a context of an unknown user",
    () => withUser("{}"),
    "two",
    /it has no user "missing", which the context two names/,
  ],
  [
    "a server that is no URL",
    () => withUser("{}", "server: nonsense"),
    undefined,
    /"nonsense" of .* is no http or https URL/,
  ],
  [
    "a SOCKS proxy",
    () => withUser("{}", 'server: "https://a", proxy-url: "socks5://b"'),
    undefined,
    /not that of an HTTP proxy/,
  ],
];

for (const [name, file, context, says] of refused) {
  test(`a kubeconfig is refused with one line and a remedy: ${name}`, () => {
    assert.throws(
      () => open(file(), context),
      (error) => {
        assert.ok(error instanceof ProgramError, String(error));
        assert.match(error.message, says);
        assert.ok(!error.message.includes("\n") && error.remedy !== "");
        return true;
      },
    );
  });
}

test("an unknown context names the ones there are", () => {
  assert.throws(
    () => open(withUser("{}"), "four"),
    (error) => error instanceof ProgramError && error.remedy === "give --context with one of one, two, three",
  );
});

test("outside of a cluster --in-cluster is refused", () => {
  assert.throws(() => KubeConfigAccess.open({ kind: "in-cluster" }), /KUBERNETES_SERVICE_HOST/);
});

test("a token, a password and no user at all", async () => {
  assert.equal((await open(withUser("{token: abc}")).current()).headers["authorization"], "Bearer abc");
  const basic = await open(withUser("{username: a, password: b}")).current();
  assert.equal(basic.headers["authorization"], "Basic YTpi");
  const ca = Buffer.from("CA").toString("base64");
  const nobody = await open(
    withUser("{}", `server: "https://a", certificate-authority-data: ${ca}`),
    "three",
  ).current();
  assert.deepEqual([nobody.headers, Buffer.from(nobody.tls.ca ?? "").toString()], [{}, "CA"]);
});

test("what changes in files counts after a renewal: tokens, the server", async () => {
  writeFileSync(join(folder, "token"), "first\n");
  const file = withUser("{tokenFile: token}");
  const access = open(file);
  assert.equal((await access.current()).headers["authorization"], "Bearer first");
  writeFileSync(join(folder, "token"), "second\n");
  access.renew();
  assert.equal((await access.current()).headers["authorization"], "Bearer second");
  writeFileSync(
    file,
    'clusters: [{name: c, cluster: {server: "https://b:1"}}]\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x',
  );
  access.renew();
  assert.equal((await access.current()).server, "https://b:1");
});

test("a plug-in is told what it needs, kept, and run again after a renewal; its failure is an error", async () => {
  const plugIn = join(folder, "plug-in");
  writeFileSync(
    plugIn,
    `#!/bin/sh
echo run >> ${folder}/runs
case $KUBERNETES_EXEC_INFO in *'"kind":"ExecCredential"'*) ;; *) exit 3 ;; esac
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t'$(wc -l < ${folder}/runs)'"}}'
`,
  );
  chmodSync(plugIn, 0o755);
  const access = open(withUser(`{exec: {apiVersion: client.authentication.k8s.io/v1, command: ${plugIn}}}`));
  const token = async (): Promise<string | undefined> => (await access.current()).headers["authorization"];
  assert.deepEqual([await token(), await token()], ["Bearer t1", "Bearer t1"]);
  access.renew();
  assert.equal(await token(), "Bearer t2");
  await assert.rejects(open(withUser("{exec: {command: /nowhere/plug-in}}")).current(), /ENOENT/);
});

test("an API server of another CA is said to be that, and it goes on with the right one", async () => {
  const authority = makeAuthority(folder, "right");
  const served = makeCertificate(folder, "server", authority, "IP:127.0.0.1");
  const server = createServer(
    { cert: readFileSync(served.cert), key: readFileSync(served.key) },
    (request, response) => {
      const isWatch = request.url?.includes("watch=1") === true;
      if (request.url?.includes("sendInitialEvents") === true) response.writeHead(422).end("{}");
      else if (isWatch) response.writeHead(200).flushHeaders();
      else response.end('{"kind":"XList","metadata":{"resourceVersion":"1"},"items":[]}');
    },
  );
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ca = join(folder, "ca.pem");
  copyFileSync(makeAuthority(folder, "other").cert, ca);
  const access = open(withUser("{token: t}", `server: "${address}", certificate-authority: ca.pem`));
  await using run = new SourceRun(access);
  run.start();
  await run.until(() => run.source.missing().every((text) => text.includes("check certificate-authority")));
  assert.match(run.source.missing()[0] ?? "", /its certificate is signed by|is not signed by the CA/);
  copyFileSync(authority.cert, ca);
  await run.until(() => run.timesSynced === 1);
  server.close();
  server.closeAllConnections();
});
