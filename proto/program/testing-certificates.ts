/** Certificates for tests, made by the `openssl` command. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** A self-signed authority. */
export function makeAuthority(folder: string, name: string): CertificateFiles {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  openssl("req", "-x509", ...newKey, "-keyout", files.key, "-out", files.cert, "-subj", `/CN=${name}`, "-days", "2");
  return files;
}

/** @param altNames As openssl takes them: "IP:127.0.0.1,DNS:cp.example". */
export function makeCertificate(
  folder: string,
  name: string,
  authority: CertificateFiles,
  altNames: string,
): CertificateFiles {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)];
  writeFileSync(extensions, `subjectAltName=${altNames}\n`);
  openssl("req", ...newKey, "-keyout", files.key, "-out", request, "-subj", `/CN=${name}`);
  const signing = ["-CA", authority.cert, "-CAkey", authority.key, "-CAcreateserial", "-days", "2"];
  openssl("x509", "-req", "-in", request, "-out", files.cert, "-extfile", extensions, ...signing);
  return files;
}

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}
