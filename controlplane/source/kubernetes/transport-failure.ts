/** Errors of sockets, TLS and the HTTP client as failures, in words. */
import type { ApiFailure } from "./api-failure.ts";

const explained: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused; check the address, and that the API server runs",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "host unreachable; check the route and firewall",
  ENETUNREACH: "network unreachable; check the route",
  ETIMEDOUT: "timed out; check the address, route and firewall",
  ENOTFOUND: "its name does not resolve; check the name and DNS",
  EAI_AGAIN: "its name does not resolve now; check DNS",
  UND_ERR_CONNECT_TIMEOUT: "no connection in time; check the address, route and firewall",
  UND_ERR_HEADERS_TIMEOUT: "no answer in time",
  UND_ERR_SOCKET: "the connection was closed",
  DEPTH_ZERO_SELF_SIGNED_CERT: wrongCa("is signed by itself"),
  SELF_SIGNED_CERT_IN_CHAIN: wrongCa("is signed by a CA that is not trusted"),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: wrongCa("is signed by a CA that is not trusted"),
  UNABLE_TO_GET_ISSUER_CERT: wrongCa("is signed by a CA that is not trusted"),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: wrongCa("is signed by a CA that is not trusted"),
  CERT_SIGNATURE_FAILURE: wrongCa("is not signed by the CA"),
  CERT_HAS_EXPIRED: "its certificate has expired; renew it, and check the clocks",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; check the clocks",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for other names; check the address, or set tls-server-name",
  EPROTO: "it does not speak TLS as expected; check http or https in the address",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS; check http or https in the address",
};

function wrongCa(what: string): string {
  return `its certificate ${what}; check certificate-authority in the kubeconfig`;
}

/** @param isAnswered The first bytes of the answer had come. */
export function transportFailure(thrown: unknown, isAnswered: boolean): ApiFailure {
  const { code, message } = innermost(thrown);
  if (isAnswered) return { kind: "torn", message: code === "" ? message : (explained[code] ?? `${message} (${code})`) };
  const what = explained[code] ?? message;
  return { kind: "unreachable", code, message: code === "" ? what : `${what} (${code})` };
}

// The cause that has a code. Connecting to several addresses fails with an AggregateError.
function innermost(thrown: unknown): { readonly code: string; readonly message: string } {
  let message = "it failed";
  let at: unknown = thrown;
  for (let depth = 0; depth < 8 && at instanceof Error; depth++) {
    if (at.message !== "") message = at.message.replaceAll(/\s+/g, " ").slice(0, 256);
    const code = "code" in at && typeof at.code === "string" ? at.code : "";
    if (code !== "" && (code in explained || at.cause === undefined)) return { code, message };
    at = at instanceof AggregateError && at.errors.length > 0 ? at.errors[0] : at.cause;
  }
  return { code: "", message };
}
