/** Certificates of one run: an authority that nobody trusts afterwards, and the server's. The load program makes those of agents. */
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import type { CertificateFiles } from "@weft/proto/program/testing-certificates.ts";
import type { BenchContext } from "./bench.ts";

export interface BenchCertificates {
  readonly authority: CertificateFiles;
  readonly server: CertificateFiles;
}

/** EC P-256, for loopback. */
export function makeBenchCertificates({ folder }: Pick<BenchContext, "folder">): BenchCertificates {
  const authority = makeAuthority(folder, "authority");
  return { authority, server: makeCertificate(folder, "server", authority, "IP:127.0.0.1") };
}
