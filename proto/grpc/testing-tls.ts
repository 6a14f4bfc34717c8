/** For tests: what both sides of mTLS need, of one authority and of another one, until the tests of a file are over. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { makeAuthority, makeCertificate } from "../program/testing-certificates.ts";
import type { CertificateFiles } from "../program/testing-certificates.ts";

export interface TestingTls {
  /** For more files. */
  readonly folder: string;
  /** Aborts at the end. */
  readonly signal: AbortSignal;
  readonly ca: CertificateFiles;
  /** Nobody's. */
  readonly otherCa: CertificateFiles;
  /** Of 127.0.0.1 and cp.example. */
  readonly server: CertificateFiles;
  /** Of the node n1. */
  readonly client: CertificateFiles;
}

export function testingTls(): TestingTls {
  const folder = mkdtempSync(join(tmpdir(), "weft-tls-"));
  const stop = new AbortController();
  after(() => {
    stop.abort();
    rmSync(folder, { recursive: true });
  });
  const ca = makeAuthority(folder, "ca");
  return {
    folder,
    signal: stop.signal,
    ca,
    otherCa: makeAuthority(folder, "other-ca"),
    server: makeCertificate(folder, "server", ca, "IP:127.0.0.1,DNS:cp.example"),
    client: makeCertificate(folder, "client", ca, "URI:weft://node/n1"),
  };
}
