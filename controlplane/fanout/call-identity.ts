/** Who makes a gRPC call. With TLS the listener has verified the certificate already. */
import { TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import type { ServerUnaryCall } from "@grpc/grpc-js";
import type { ServerSecurity } from "@weft/proto/program/tls-flags.ts";
import { identityOf } from "../identity.ts";
import type { Identity } from "../identity.ts";

export type IdentifiableCall = Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext">;

/** Its answers are undefined where TLS is on and the caller shows no certificate. */
export interface Identify {
  readonly call: (call: IdentifiableCall) => Identity | undefined;
  /** All calls of one connection are made by the same. */
  readonly socket: (socket: Socket) => Identity | undefined;
}

const anonymous: Identity = { kind: "anonymous" };

export function identifierOf(security: ServerSecurity): Identify {
  if (security.kind === "insecure") return { call: () => anonymous, socket: () => anonymous };
  return {
    call: (call) => {
      const certificate = call.getAuthContext().sslPeerCertificate;
      return certificate === undefined ? undefined : identityOf(certificate);
    },
    socket: (socket) => {
      if (!(socket instanceof TLSSocket)) return undefined;
      const certificate = socket.getPeerX509Certificate();
      if (certificate === undefined) return undefined;
      // An agent's name is here. Taking the whole certificate apart costs as much time as all the rest of its Hello.
      const named = identityOf({ subjectaltname: certificate.subjectAltName });
      return named.kind === "node" ? named : identityOf(certificate.toLegacyObject());
    },
  };
}
