import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { ProgramError } from "./errors.ts";
import { createLog } from "./log.ts";
import { makeAuthority, makeCertificate } from "./testing-certificates.ts";
import { readTlsFiles, watchTlsFiles } from "./tls-files.ts";
import type { TlsFileNames, TlsMaterial } from "./tls-files.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-tls-files-"));
after(() => rmSync(folder, { recursive: true }));
const authority = makeAuthority(folder, "authority");
const other = makeAuthority(folder, "other");
const server = makeCertificate(folder, "server", authority, "IP:127.0.0.1");
const weak = { cert: join(folder, "weak.pem"), key: join(folder, "weak.key") };
execFileSync(
  "openssl",
  ["req", "-x509", "-newkey", "rsa:512", "-nodes", "-keyout", weak.key, "-out", weak.cert, "-subj", "/CN=weak"],
  { stdio: "ignore" },
);
const textOf = (file: string): string => readFileSync(file, "utf8");
const bundle = textOf(authority.cert) + textOf(other.cert);

const paths = { ca: join(folder, "live-ca"), cert: join(folder, "live.pem"), key: join(folder, "live.key") };
const names: TlsFileNames = {
  ca: ["--tls-client-ca", paths.ca],
  identity: { cert: ["--tls-cert", paths.cert], key: ["--tls-key", paths.key] },
};
const good = { ca: bundle, cert: textOf(server.cert), key: textOf(server.key) };

// Each whole, by a rename.
function install(files: typeof good): void {
  for (const file of ["ca", "cert", "key"] as const) {
    writeFileSync(`${paths[file]}.new`, files[file]);
    renameSync(`${paths[file]}.new`, paths[file]);
  }
}

// What is wrong in simpler ways: listener.test.ts.
const bad: readonly (readonly [what: string, files: Partial<typeof good>, said: RegExp])[] = [
  [
    "is a bundle that is cut off",
    { ca: bundle.slice(0, -30) },
    /^--tls-client-ca \S+live-ca ends within a certificate/,
  ],
  ["is a chain that is cut off", { cert: good.cert + good.cert.slice(0, 40) }, /^--tls-cert \S+ ends within/],
  [
    "has a key that TLS refuses",
    { cert: textOf(weak.cert), key: textOf(weak.key) },
    /^--tls-cert \S+live\.pem cannot be used with --tls-key \S+live\.key: .*key too small$/,
  ],
];

describe("TLS files", () => {
  test("are taken with all certificates of a bundle", () => {
    install(good);
    assert.equal(readTlsFiles(names).ca.toString(), bundle);
  });

  test("are taken with what else tools of certificates write beside them", () => {
    const request = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n";
    const ca = `subject=CN=authority\n${bundle}${request}`;
    install({ ...good, ca });
    assert.equal(readTlsFiles(names).ca.toString(), ca);
  });

  for (const [what, files, said] of bad) {
    test(`a file that ${what} is refused by name, with a remedy`, () => {
      install({ ...good, ...files });
      assert.throws(
        () => readTlsFiles(names),
        (error) => error instanceof ProgramError && error.remedy !== "" && said.test(error.message),
      );
    });
  }

  test("that are bad leave the last good ones; it is said once with its remedy, and the next good ones are taken", async () => {
    install(good);
    const stop = new AbortController();
    const lines: string[] = [];
    const said = Promise.withResolvers<void>();
    const write = (line: string): void => {
      lines.push(line);
      if (line.includes("not reloaded")) said.resolve();
    };
    const log = createLog({ logLevel: "info", logFormat: "text", write });
    const taken: TlsMaterial[] = [];
    const next = Promise.withResolvers<void>();
    watchTlsFiles(names, { log, signal: stop.signal, pollMs: 5 }, (material) => {
      taken.push(material);
      next.resolve();
    });
    writeFileSync(`${paths.ca}.new`, bundle.slice(0, -30));
    renameSync(`${paths.ca}.new`, paths.ca);
    await said.promise;
    assert.equal(taken.length, 0);
    install({ ...good, ca: textOf(other.cert) });
    await next.promise;
    stop.abort();
    assert.deepEqual(
      taken.map(({ ca }) => ca.toString()),
      [textOf(other.cert)],
    );
    const complaints = lines.filter((line) => line.includes("not reloaded"));
    assert.equal(complaints.length, 1);
    assert.match(complaints[0] ?? "", /error="--tls-client-ca \S+live-ca ends within .*; write it whole/);
  });
});
