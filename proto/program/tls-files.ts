/**
 * Certificates and keys from files: checked when they are read, read again while the program runs. A rotation that replaces
 * certificate and key one after the other is taken once both fit; until then, and while a file is missing or wrong, the
 * last good set stays.
 */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { fromErrno } from "./errno.ts";
import { ProgramError, messageOf, printProgramError } from "./errors.ts";
import type { Log } from "./log.ts";

export interface TlsFileNames {
  /** The flag that named it, and the path. */
  readonly ca: readonly [flag: string, path: string];
  readonly identity: { readonly cert: readonly [string, string]; readonly key: readonly [string, string] } | undefined;
}

/** PEM. */
export interface TlsMaterial {
  readonly ca: Buffer;
  readonly identity: { readonly cert: Buffer; readonly key: Buffer } | undefined;
}

export interface WatchOptions {
  readonly log: Log;
  /** Ends the watching. */
  readonly signal: AbortSignal;
  /** Default: 5 s. Polled, since a mounted secret changes by swapping a link far above the file. */
  readonly pollMs?: number;
}

const defaultPollMs = 5_000;
const fileBytesMax = 1_024 * 1_024;

/**
 * Reads now, then again until `signal` aborts; `changed` gets each good set that differs from the one before.
 * @throws ProgramError naming the file and the remedy, if what is there now is not good.
 */
export function watchTlsFiles(
  names: TlsFileNames,
  options: WatchOptions,
  changed: (material: TlsMaterial) => void,
): TlsMaterial {
  const first = readTlsFiles(names);
  warnIfExpired(first, options.log);
  let current = first;
  let lastComplaint = "";
  const timer = setInterval(() => {
    try {
      const next = readTlsFiles(names);
      lastComplaint = "";
      if (isSame(current, next)) return;
      changed(next);
      current = next;
      warnIfExpired(next, options.log);
      options.log.info("certificates reloaded", { ca: names.ca[1], certificate: names.identity?.cert[1] });
    } catch (error) {
      const complaint = error instanceof ProgramError ? printProgramError(error) : messageOf(error);
      if (complaint !== lastComplaint)
        options.log.error("certificates not reloaded, the last good ones stay", { error: complaint });
      lastComplaint = complaint;
    }
  }, options.pollMs ?? defaultPollMs);
  timer.unref();
  const end = (): void => clearInterval(timer);
  if (options.signal.aborted) end();
  else options.signal.addEventListener("abort", end, { once: true });
  return first;
}

/** @throws ProgramError naming the file and the remedy. */
export function readTlsFiles(names: TlsFileNames): TlsMaterial {
  const ca = readPem(names.ca);
  for (const block of certificatesIn(ca)) parseCertificate(names.ca, block);
  if (names.identity === undefined) return { ca, identity: undefined };
  const cert = readPem(names.identity.cert);
  const [leaf] = certificatesIn(cert).map((block) => parseCertificate(names.identity?.cert ?? ["", ""], block));
  const key = read(names.identity.key);
  const privateKey = parseKey(names.identity.key, key);
  if (leaf?.checkPrivateKey(privateKey) !== true) {
    throw invalid(
      `${printName(names.identity.key)} is not the key of ${printName(names.identity.cert)}`,
      "give the pair that belongs together",
    );
  }
  const identity = { cert, key };
  checkUse(names.identity, identity);
  return { ca, identity };
}

// A key that is too small, or a hash that is too weak, is refused where it is used only.
function checkUse(names: NonNullable<TlsFileNames["identity"]>, identity: NonNullable<TlsMaterial["identity"]>): void {
  try {
    createSecureContext(identity);
  } catch (error) {
    throw invalid(
      `${printName(names.cert)} cannot be used with ${printName(names.key)}: ${messageOf(error)}`,
      "give a certificate of a key of at least 2048 bits (RSA) or 256 (EC), signed with SHA-256",
      error,
    );
  }
}

function readPem(name: readonly [string, string]): Buffer {
  const bytes = read(name);
  const begun = bytes.toString("latin1").match(/-----BEGIN CERTIFICATE(?! REQUEST)/g)?.length ?? 0;
  const whole = certificatesIn(bytes).length;
  // One of several authorities less would shut out all whom it vouches for.
  if (whole < begun) {
    throw invalid(
      `${printName(name)} ends within a certificate, or has a damaged one`,
      "write it whole; by a rename, if programs are to read it meanwhile",
    );
  }
  if (whole > 0) return bytes;
  throw invalid(`${printName(name)} has no PEM certificate`, 'it must have a block "-----BEGIN CERTIFICATE-----"');
}

function read(name: readonly [string, string]): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(name[1]);
  } catch (error) {
    throw fromErrno(error, `read ${printName(name)}`);
  }
  if (bytes.length <= fileBytesMax) return bytes;
  throw invalid(`${printName(name)} is larger than ${fileBytesMax} bytes`, "give a PEM file");
}

function certificatesIn(pem: Buffer): readonly string[] {
  return pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

function parseCertificate(name: readonly [string, string], block: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (error) {
    throw invalid(`${printName(name)} has a certificate that cannot be read`, "give a PEM certificate", error);
  }
}

function parseKey(name: readonly [string, string], pem: Buffer): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const remedy = pem.includes("ENCRYPTED") ? "give a key without passphrase" : "give a PEM private key";
    throw invalid(`${printName(name)} is no private key that can be read`, remedy, error);
  }
}

function warnIfExpired(material: TlsMaterial, log: Log): void {
  if (material.identity === undefined) return;
  const [leaf] = certificatesIn(material.identity.cert).map((block) => new X509Certificate(block));
  if (leaf !== undefined && Date.parse(leaf.validTo) < Date.now()) {
    log.warn("own certificate has expired: peers will refuse it; renew it", {
      subject: leaf.subject,
      expired: leaf.validTo,
    });
  }
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  if (!a.ca.equals(b.ca) || (a.identity === undefined) !== (b.identity === undefined)) return false;
  if (a.identity === undefined || b.identity === undefined) return true;
  return a.identity.cert.equals(b.identity.cert) && a.identity.key.equals(b.identity.key);
}

function printName([flag, path]: readonly [string, string]): string {
  return `${flag} ${path}`;
}

function invalid(message: string, remedy: string, cause?: unknown): ProgramError {
  return new ProgramError("invalid-file", message, { remedy, cause });
}
