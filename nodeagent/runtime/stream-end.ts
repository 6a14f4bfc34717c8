/** Why a stream ended, in closed words for metrics and in sentences for people. Pure. */

export type StreamEndCause =
  | "unreachable"
  | "tls"
  | "refused-identity"
  | "name-in-use"
  | "protocol-version"
  | "message-too-large"
  | "not-weft"
  | "malformed"
  | "closed"
  | "failed";

export interface StreamEnd {
  readonly cause: StreamEndCause;
  /** What happened, where, and what to do. */
  readonly message: string;
}

/** Status codes of gRPC by number: https://grpc.io/docs/guides/status-codes/ */
const codes = {
  ok: 0,
  cancelled: 1,
  invalidArgument: 3,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** @param address "HOST:PORT" of the control plane. */
export function explainEnd(code: number, details: string, address: string): StreamEnd {
  // grpc-js ends its sentence with a note that is empty for an address that needs no name resolution.
  const said = details.replace(/\.? Resolution note: $/, "") || `status ${code}`;
  switch (code) {
    case codes.ok:
    case codes.cancelled:
      return { cause: "closed", message: `the control plane at ${address} ended the stream: ${said}` };
    case codes.alreadyExists:
      return { cause: "name-in-use", message: `another agent uses this node name: ${said}` };
    case codes.permissionDenied:
    case codes.unauthenticated:
      return {
        cause: "refused-identity",
        message: `the control plane at ${address} refuses this agent: ${said}; check that the certificate in --tls-cert is for this --node`,
      };
    case codes.failedPrecondition:
      return {
        cause: "protocol-version",
        message: `the control plane at ${address} speaks another protocol: ${said}; upgrade the older of the two`,
      };
    case codes.resourceExhausted:
      return {
        cause: "message-too-large",
        message: `a message was over the limit of size, or the control plane at ${address} is full: ${said}; check its limits and load`,
      };
    case codes.unimplemented:
      return { cause: "not-weft", message: `${address} is no Weft control plane: ${said}; check --controlplane` };
    case codes.invalidArgument:
      return {
        cause: "malformed",
        message: `the control plane at ${address} found a message of this agent wrong: ${said}; please report it`,
      };
    case codes.internal:
      return {
        cause: "malformed",
        message: `the stream from ${address} cannot be read: ${said}; check that no proxy on the way changes it`,
      };
    case codes.unavailable:
      return unavailable(said, address);
    default:
      return { cause: "failed", message: `the stream from ${address} failed: ${said}` };
  }
}

function unavailable(said: string, address: string): StreamEnd {
  if (/certificate|SSL|TLS|EPROTO|handshake|wrong version|altname/i.test(said)) {
    return {
      cause: "tls",
      message: `no TLS connection to ${address}: ${said}; check --tls-ca, --tls-server-name and that both ends use TLS`,
    };
  }
  if (/ECONNRESET|socket hang up|GOAWAY|closed|Protocol error|HTTP\/2/i.test(said)) {
    return {
      cause: "unreachable",
      message: `the connection to ${address} broke: ${said}; if it stays so, check that both ends use TLS or --insecure, and that it is a control plane`,
    };
  }
  return {
    cause: "unreachable",
    message: `no control plane can be reached at ${address}: ${said}; check --controlplane, the route and the firewall`,
  };
}
