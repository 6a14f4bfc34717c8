/** Who makes a gRPC call. With TLS the listener has verified the certificate already. */
import type { ServerUnaryCall } from "@grpc/grpc-js";
import type { ServerSecurity } from "@weft/proto/program/tls-flags.ts";
import { identityOf } from "../identity.ts";
import type { Identity } from "../identity.ts";

export type IdentifiableCall = Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext">;

/** The function answers undefined where TLS is on and the caller shows no certificate. */
export function callIdentifier(security: ServerSecurity): (call: IdentifiableCall) => Identity | undefined {
  if (security.kind === "insecure") return () => ({ kind: "anonymous" });
  return (call) => {
    const certificate = call.getAuthContext().sslPeerCertificate;
    return certificate === undefined ? undefined : identityOf(certificate);
  };
}
