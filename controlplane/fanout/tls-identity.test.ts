import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { credentials, status } from "@grpc/grpc-js";
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import { service } from "../scripted-source.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-tls-"));
after(() => rmSync(folder, { recursive: true }));
const authority = makeAuthority(folder, "authority");
const server = makeCertificate(folder, "server", authority, "IP:127.0.0.1");
const certificates = {
  "with a SAN": makeCertificate(folder, "x", authority, "URI:weft://node/n1"),
  "with a CN": makeCertificate(folder, "system:node:n1", authority, "DNS:x"),
  "of a person": makeCertificate(folder, "ada", authority, "DNS:x"),
};

describe("with TLS", () => {
  const cases: readonly [certificate: keyof typeof certificates, node: string, code: status | undefined][] = [
    ["with a SAN", "n1", undefined],
    ["with a CN", "n1", undefined],
    ["with a SAN", "n2", status.PERMISSION_DENIED],
    ["of a person", "n1", status.PERMISSION_DENIED],
  ];
  for (const [name, node, code] of cases) {
    test(`a certificate ${name} as node ${node}: ${code === undefined ? "admitted" : status[code]}`, async () => {
      const security = {
        kind: "tls",
        certFile: server.cert,
        keyFile: server.key,
        clientCaFile: authority.cert,
      } as const;
      await using running = await RunningPipeline.start({ security });
      running.source.give(service("a/b"));
      running.source.synced();
      const mine = certificates[name];
      const files = [authority.cert, mine.key, mine.cert].map((path) => readFileSync(path));
      const agent = running.agent(node, { credentials: credentials.createSsl(files[0], files[1], files[2]) });
      agent.hello();
      if (code === undefined) {
        await agent.untilRevision(1);
        return;
      }
      const ended = await agent.ended;
      assert.equal(ended.code, code);
      assert.match(ended.details, /weft:\/\/node\//);
      const counted = 'weft_fanout_streams_ended_total{reason="identity"}';
      await running.until(() => running.metric(counted) === 1, counted);
    });
  }
});
