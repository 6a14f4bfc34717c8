import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, it } from "node:test";
import { ServerCredentials } from "@grpc/grpc-js";
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import { runWeft } from "./run-weft.ts";
import { scriptedFleet, type ScriptedFleet } from "./scripted-fleet.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-cli-tls-"));
after(() => rmSync(folder, { recursive: true }));
const authority = makeAuthority(folder, "authority");
const stranger = makeAuthority(folder, "stranger");
const server = makeCertificate(folder, "server", authority, "IP:127.0.0.1,DNS:cp.example");
const other = makeCertificate(folder, "other", authority, "DNS:other.example");
const reader = makeCertificate(folder, "reader", authority, "DNS:reader.example");

const serve = (shown: typeof server): Promise<ScriptedFleet> => {
  const pair = { cert_chain: readFileSync(shown.cert), private_key: readFileSync(shown.key) };
  const credentials = ServerCredentials.createSsl(readFileSync(authority.cert), [pair], true);
  return scriptedFleet(
    { getStatus: () => ({ status: { epoch: { createdMs: 1n, random: 1 }, revision: 7n } }) },
    0,
    credentials,
  );
};
const identity = ["--tls-cert", reader.cert, "--tls-key", reader.key];

const cases: readonly {
  readonly is: string;
  readonly shown: typeof server;
  readonly argv: readonly string[];
  readonly code: number;
  readonly says: RegExp;
}[] = [
  {
    is: "both sides are who they should be",
    shown: server,
    argv: ["--tls-ca", authority.cert, ...identity],
    code: 0,
    says: /^$/,
  },
  {
    is: "the server has the name that is given",
    shown: other,
    argv: ["--tls-ca", authority.cert, ...identity, "--tls-server-name", "other.example"],
    code: 0,
    says: /^$/,
  },
  {
    is: "the server has another name",
    shown: other,
    argv: ["--tls-ca", authority.cert, ...identity],
    code: 1,
    says: /shows a certificate that is not accepted: .*; check --tls-ca and --tls-server-name\n$/,
  },
  {
    is: "another authority signed the server's certificate",
    shown: server,
    argv: ["--tls-ca", stranger.cert, ...identity],
    code: 1,
    says: /shows a certificate that is not accepted: .*; check --tls-ca and --tls-server-name\n$/,
  },
  {
    is: "the caller shows no certificate",
    shown: server,
    argv: ["--tls-ca", authority.cert],
    code: 1,
    says: /does not accept our certificate: certificate required; give --tls-cert and --tls-key of a certificate that its --tls-client-ca has signed\n$/,
  },
  {
    is: "the caller speaks no TLS",
    shown: server,
    argv: ["--insecure"],
    code: 1,
    says: /both sides use TLS or neither does\n$/,
  },
];

for (const { is, shown, argv, code, says } of cases) {
  it(`asks with TLS: ${is}`, async () => {
    using fleet = await serve(shown);
    const ended = await runWeft("status", "-o", "json", "--controlplane", `127.0.0.1:${fleet.port}`, ...argv);
    assert.match(ended.stderr, says);
    assert.equal(ended.code, code);
    assert.equal(ended.stdout, code === 0 ? '{"epoch":"1-00000001","revision":7,"nodes":[]}\n' : "");
    assert.ok(ended.stderr.split("\n").length <= 2, ended.stderr);
  });
}
