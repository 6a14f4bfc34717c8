import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { status } from "@grpc/grpc-js";
import { explainEnd } from "./stream-end.ts";
import type { StreamEndCause } from "./stream-end.ts";

const refused = "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ";

describe("why a stream ended", () => {
  const cases: readonly (readonly [status, string, StreamEndCause, RegExp])[] = [
    [status.UNAVAILABLE, refused, "unreachable", /ECONNREFUSED 127\.0\.0\.1:1; check --controlplane/],
    [status.UNAVAILABLE, "Last error: Error: self-signed certificate in certificate chain", "tls", /check --tls-ca/],
    [status.UNAVAILABLE, "Client network socket disconnected before secure TLS connection", "tls", /both ends use TLS/],
    [status.UNAVAILABLE, "read ECONNRESET", "unreachable", /both ends use TLS or --insecure/],
    [status.PERMISSION_DENIED, "the certificate is of node n2", "refused-identity", /n2.*--tls-cert/],
    [status.UNAUTHENTICATED, "", "refused-identity", /status 16/],
    [status.ALREADY_EXISTS, "node n1 is used by 10.0.0.2", "name-in-use", /10\.0\.0\.2/],
    [status.FAILED_PRECONDITION, "protocol 3", "protocol-version", /upgrade/],
    [status.RESOURCE_EXHAUSTED, "Received message larger than max", "message-too-large", /limit of size/],
    [status.UNIMPLEMENTED, "no such method", "not-weft", /check --controlplane/],
    [status.INTERNAL, "Response message parsing error", "malformed", /proxy/],
    [status.OK, "", "closed", /ended the stream/],
    [status.DATA_LOSS, "lost", "failed", /lost/],
  ];
  for (const [code, details, cause, message] of cases) {
    it(`is ${cause} for ${status[code]} ${details.slice(0, 40)}`, () => {
      const end = explainEnd(code, details, "127.0.0.1:7000");
      assert.equal(end.cause, cause);
      assert.match(end.message, message);
    });
  }
});
