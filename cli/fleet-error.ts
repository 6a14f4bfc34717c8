/** What a failed call means to a person: one line, with what to do. */
import { status, type ServiceError } from "@grpc/grpc-js";
import { ProgramError, type ProgramErrorCode } from "@weft/proto/program/errors.ts";

export function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "number" && "details" in thrown;
}

/** The call failed because the connection did, not because of what was asked: another try may succeed. */
export function isConnectionLoss(thrown: unknown): boolean {
  if (!(thrown instanceof ProgramError)) return false;
  const isSilent = isServiceError(thrown.cause) && thrown.cause.code === status.DEADLINE_EXCEEDED;
  return thrown.code === "unreachable" || isSilent;
}

export function toProgramError(error: ServiceError, target: string): ProgramError {
  const { code, message, remedy } = explain(error, target);
  return new ProgramError(code, message, { remedy, cause: error });
}

interface Explained {
  readonly code: ProgramErrorCode;
  readonly message: string;
  readonly remedy: string;
}

function explain({ code, details }: ServiceError, target: string): Explained {
  const at = `control plane ${target}`;
  const said = details.replace(/^\d+ [A-Z_]+: /, "");
  switch (code) {
    case status.UNAVAILABLE:
      return unavailable(at, said);
    case status.PERMISSION_DENIED:
    case status.UNAUTHENTICATED: {
      const remedy = "give --tls-cert and --tls-key of a certificate that may read the fleet";
      return {
        code: "permission",
        message: `${at} refuses: ${said}`,
        remedy: said.includes("certificate") ? "" : remedy,
      };
    }
    case status.NOT_FOUND: {
      const remedy = said.startsWith("revision") ? "" : "weft status lists the nodes that it knows";
      return { code: "not-found", message: `${at}: ${said}`, remedy };
    }
    case status.FAILED_PRECONDITION:
      return { code: "failed", message: `${at}: ${said}`, remedy: "" };
    case status.INVALID_ARGUMENT:
      return { code: "usage", message: `${at} refuses the request: ${said}`, remedy: "" };
    case status.UNIMPLEMENTED:
      return {
        code: "unsupported",
        message: `${at} does not offer this: ${said}`,
        remedy: "ask a control plane of Weft, of this version or newer",
      };
    case status.DEADLINE_EXCEEDED:
      return {
        code: "failed",
        message: `${at} gave no answer in time`,
        remedy: "ask again; see its log if that does not help",
      };
    case status.RESOURCE_EXHAUSTED:
      return { code: "resources", message: `${at} is busy: ${said}`, remedy: "ask again later" };
    // What a server sends that shuts down in a hurry; our own cancellations do not come here.
    case status.CANCELLED:
      return { code: "unreachable", message: `${at} ended the call`, remedy: "ask again once it runs" };
    default:
      return { code: "failed", message: `${at} failed: ${said}`, remedy: "see its log" };
  }
}

function unavailable(at: string, said: string): Explained {
  // grpc-js says "No connection established. Last error: Error: …. Resolution note: …"; only the middle tells something.
  const reason =
    said
      .replace(/^No connection established\. Last error: /, "")
      .replace(/^(?:\w*Error: )+/, "")
      .replace(/\.? Resolution note: .*$/, "") || "no connection";
  // OpenSSL: "….:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../deps/….c:918:SSL alert number 116"
  const alert = /:(?:\w+ )?alert ([a-z ]*(?:certificate|unknown ca)[a-z ]*):/.exec(reason)?.[1];
  if (alert !== undefined) {
    return {
      code: "permission",
      message: `${at} does not accept our certificate: ${alert}`,
      remedy: "give --tls-cert and --tls-key of a certificate that its --tls-client-ca has signed",
    };
  }
  if (/certificate|self.signed|altname|issuer|unable to verify/i.test(reason)) {
    return {
      code: "unreachable",
      message: `${at} shows a certificate that is not accepted: ${reason}`,
      remedy: "check --tls-ca and --tls-server-name",
    };
  }
  if (/SSL|TLS|EPROTO|wrong version|alert/i.test(reason)) {
    return {
      code: "unreachable",
      message: `${at} speaks no TLS, or refuses ours: ${reason}`,
      remedy: "check --tls-ca, --tls-cert and --tls-key, or give --insecure if it listens without TLS",
    };
  }
  if (/not synced/.test(reason))
    return { code: "unreachable", message: `${at}: ${reason}`, remedy: "wait until it is ready" };
  if (/ENOTFOUND|EAI_AGAIN|Name resolution/i.test(reason)) {
    return {
      code: "unreachable",
      message: `${at} has a name that cannot be resolved: ${reason}`,
      remedy: "check --controlplane",
    };
  }
  const remedy = "check --controlplane and that it runs, and that both sides use TLS or neither does";
  return { code: "unreachable", message: `${at} is unreachable: ${reason}`, remedy };
}
