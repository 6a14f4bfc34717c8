/**
 * Certificates of a lab with mTLS, in its folder: one authority, the control plane, every node (`weft://node/NAME`) and an
 * operator without node identity. All private keys lie there openly: they protect nothing but a lab.
 */
import fs from "node:fs";
import path from "node:path";
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import type { CertificateFiles } from "@weft/proto/program/testing-certificates.ts";
import { controlAddresses } from "./address-plan.ts";

const controlPlane = "controlplane";
const operator = "operator";
/** Certificate of the authority; a rotation replaces it last. */
const trusted = "trusted.pem";

export class LabCertificates {
  readonly #folder: string;
  readonly #nodes: readonly string[];
  #generation = 0;

  /** Nothing is written before `make`. */
  constructor(folder: string, nodes: readonly string[]) {
    this.#folder = folder;
    this.#nodes = nodes;
  }

  get controlPlaneFlags(): readonly string[] {
    return ["--tls-client-ca", path.join(this.#folder, trusted), ...this.#identity(controlPlane)];
  }

  /** Flags of a client that shows the certificate of that node. */
  nodeFlags(node: string): readonly string[] {
    return ["--tls-ca", path.join(this.#folder, trusted), ...this.#identity(node)];
  }

  /** Flags of a client that shows a certificate without node identity. */
  get operatorFlags(): readonly string[] {
    return this.nodeFlags(operator);
  }

  /** Makes all files, of a new authority. Once more: each is replaced, whole, by rename, as a tool that rotates them does. */
  make(): void {
    const fresh = path.join(this.#folder, `generation-${++this.#generation}`);
    fs.mkdirSync(fresh, { recursive: true });
    const authority = makeAuthority(fresh, "authority");
    fs.copyFileSync(authority.cert, path.join(fresh, trusted));
    const names: readonly (readonly [string, string])[] = [
      [controlPlane, `IP:127.0.0.1,IP:${controlAddresses.v4},IP:${controlAddresses.v6}`],
      [operator, "DNS:operator.example"],
      ...this.#nodes.map((node) => [node, `URI:weft://node/${node}`] as const),
    ];
    for (const [name, altNames] of names) this.#publish(makeCertificate(fresh, name, authority, altNames));
    fs.renameSync(path.join(fresh, trusted), path.join(this.#folder, trusted));
  }

  #publish(files: CertificateFiles): void {
    for (const file of [files.key, files.cert]) fs.renameSync(file, path.join(this.#folder, path.basename(file)));
  }

  #identity(name: string): readonly string[] {
    return ["--tls-cert", path.join(this.#folder, `${name}.pem`), "--tls-key", path.join(this.#folder, `${name}.key`)];
  }
}
