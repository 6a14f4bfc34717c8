import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { identityOf, mayReadFleet } from "./identity.ts";
import type { CertificateNames, Identity } from "./identity.ts";

const cases: readonly [name: string, certificate: CertificateNames, identity: Identity][] = [
  ["a URI SAN", { subjectaltname: "DNS:x, URI:weft://node/a" }, { kind: "node", node: "a" }],
  [
    "a URI SAN before a CN",
    { subjectaltname: "URI:weft://node/a", subject: { CN: "system:node:b" } },
    { kind: "node", node: "a" },
  ],
  ["a CN", { subject: { CN: "system:node:b" } }, { kind: "node", node: "b" }],
  ["one of several CNs", { subject: { CN: ["x", "system:node:b"] } }, { kind: "node", node: "b" }],
  ["a quoted URI", { subjectaltname: 'URI:"weft://node/a\\u002cb"' }, { kind: "node", node: "a,b" }],
  [
    "a DNS name that only looks like a URI",
    { subjectaltname: 'DNS:"x, URI:weft://node/a"' },
    { kind: "client", subject: "" },
  ],
  ["another scheme", { subjectaltname: "URI:spiffe://node/a" }, { kind: "client", subject: "" }],
  ["a path below a node", { subjectaltname: "URI:weft://node/a/b" }, { kind: "node", node: "" }],
  [
    "another weft URI",
    { subjectaltname: "URI:weft://a", subject: { CN: "system:node:b" } },
    { kind: "node", node: "" },
  ],
  ["a person", { subject: { CN: "ada" } }, { kind: "client", subject: "ada" }],
  ["an empty node name", { subject: { CN: "system:node:" } }, { kind: "node", node: "" }],
  ["nothing", {}, { kind: "client", subject: "" }],
];

describe("identity of a certificate", () => {
  for (const [name, certificate, identity] of cases) {
    test(name, () => {
      assert.deepEqual(identityOf(certificate), identity);
      assert.equal(mayReadFleet(identity), identity.kind === "client");
    });
  }
});
