import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { credentials, status } from "@grpc/grpc-js";
import { RunningPipeline } from "../running-pipeline.ts";
import { service } from "../scripted-source.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-tls-"));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string): string => join(folder, name);
const openssl = (...args: string[]): unknown => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });

function authority(): void {
  openssl(
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-subj",
    "/CN=test",
  );
}

function certificate(name: string, subject: string, altName: string): void {
  writeFileSync(file(`${name}.ext`), `subjectAltName=${altName}\n`);
  openssl(
    "req",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    `${name}.key`,
    "-out",
    `${name}.csr`,
    "-subj",
    subject,
  );
  openssl(
    "x509",
    "-req",
    "-days",
    "2",
    "-in",
    `${name}.csr`,
    "-CA",
    "ca.crt",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-extfile",
    `${name}.ext`,
    "-out",
    `${name}.crt`,
  );
}

authority();
certificate("server", "/CN=server", "IP:127.0.0.1");
certificate("san", "/CN=x", "URI:weft://node/n1");
certificate("cn", "/CN=system:node:n1", "DNS:x");
certificate("person", "/CN=ada", "DNS:x");

describe("with TLS", () => {
  const cases: readonly [certificate: string, node: string, code: status | undefined][] = [
    ["san", "n1", undefined],
    ["cn", "n1", undefined],
    ["san", "n2", status.PERMISSION_DENIED],
    ["person", "n1", status.PERMISSION_DENIED],
  ];
  for (const [name, node, code] of cases) {
    test(`the certificate ${name} as node ${node}: ${code === undefined ? "admitted" : status[code]}`, async () => {
      const security = {
        kind: "tls",
        certFile: file("server.crt"),
        keyFile: file("server.key"),
        clientCaFile: file("ca.crt"),
      } as const;
      await using running = await RunningPipeline.start({ security });
      running.source.give(service("a/b"));
      running.source.synced();
      const read = (of: string): Buffer => readFileSync(file(of));
      const agent = running.agent(node, {
        credentials: credentials.createSsl(read("ca.crt"), read(`${name}.key`), read(`${name}.crt`)),
      });
      agent.hello();
      if (code === undefined) {
        await agent.untilRevision(1);
        return;
      }
      const ended = await agent.ended;
      assert.equal(ended.code, code);
      assert.match(ended.details, /weft:\/\/node\//);
      assert.equal(running.metric('weft_fanout_streams_ended_total{reason="identity"}'), 1);
    });
  }
});
