/** Who is at the other end of a connection, by its certificate (DESIGN section 8). */

export type Identity =
  /** `--insecure`: nobody is known. */
  | { readonly kind: "anonymous" }
  | { readonly kind: "node"; readonly node: string }
  /** A certificate of the client CA without a node in it: a person or a tool. */
  | { readonly kind: "client"; readonly subject: string };

/** What is read of a verified certificate; `tls.PeerCertificate` has this shape. */
export interface CertificateNames {
  /** "URI:weft://node/a, DNS:b"; values with special characters are JSON strings. */
  readonly subjectaltname?: string | undefined;
  readonly subject?: { readonly CN?: string | readonly string[] | undefined } | undefined;
}

/** Fits no node, as a `Hello` without a name is refused, and may read nothing. */
const malformedNode: Identity = { kind: "node", node: "" };

/** URI SAN `weft://node/NAME`, else CN `system:node:NAME`, else no node. One that means a node and names none has no rights at all. */
export function identityOf(certificate: CertificateNames): Identity {
  const uris = urisOf(certificate.subjectaltname ?? "").filter((uri) => uri.startsWith("weft:"));
  for (const uri of uris) {
    const node = /^weft:\/\/node\/([^/?#]+)$/.exec(uri)?.[1];
    if (node !== undefined) return { kind: "node", node };
  }
  if (uris.length > 0) return malformedNode;
  const commonName = certificate.subject?.CN ?? [];
  const names = typeof commonName === "string" ? [commonName] : commonName;
  for (const name of names) {
    const node = /^system:node:(.*)$/.exec(name)?.[1];
    if (node !== undefined) return { kind: "node", node };
  }
  return { kind: "client", subject: names[0] ?? "" };
}

/** A node reads no one's status; people and tools do, and with `--insecure` anyone. */
export function mayReadFleet(identity: Identity): boolean {
  return identity.kind !== "node";
}

export function printIdentity(of: Identity): string {
  switch (of.kind) {
    case "anonymous":
      return "no identity";
    case "node":
      return `node ${of.node}`;
    case "client":
      return of.subject === "" ? "a client without a name" : `client ${of.subject}`;
  }
}

// Entries are separated by ", "; Node prints a value that holds a comma or a quote as a JSON string. Read from the start, entry by
// entry: a quoted DNS name may hold what looks like a URI. What does not parse ends the reading.
function urisOf(subjectAltName: string): string[] {
  const uris: string[] = [];
  const entry = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
  for (let match = entry.exec(subjectAltName); match !== null; match = entry.exec(subjectAltName)) {
    const [, type, value = ""] = match;
    if (type === "URI") uris.push(value.startsWith('"') ? unquote(value) : value);
  }
  return uris;
}

function unquote(json: string): string {
  try {
    return String(JSON.parse(json));
  } catch {
    return "";
  }
}
