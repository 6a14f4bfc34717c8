/** `Status` objects of the API, in answers that are not 200 and in ERROR events, as failures. */
import { isJsonObject } from "../fields.ts";
import type { ApiFailure } from "./api-failure.ts";

/** What a message from outside may add to a log line. */
const messageCharactersMax = 512;

/** @param code Of the answer, where the status does not say one. @param retryAfter The header, in seconds or as a date. */
export function statusFailure(status: unknown, code: number, retryAfter?: string, nowMs = 0): ApiFailure {
  const fields = isJsonObject(status) ? status : {};
  const details = isJsonObject(fields["details"]) ? fields["details"] : {};
  const said = fields["message"];
  const message = typeof said === "string" && said !== "" ? said : "it says no more";
  const seconds = details["retryAfterSeconds"];
  return {
    kind: "status",
    code: typeof fields["code"] === "number" && fields["code"] > 0 ? fields["code"] : code,
    reason: typeof fields["reason"] === "string" ? fields["reason"] : "",
    message: message.replaceAll(/\s+/g, " ").slice(0, messageCharactersMax),
    retryAfterMs: retryAfterMs(retryAfter, nowMs) ?? (typeof seconds === "number" ? seconds * 1_000 : undefined),
    isTooLarge: isTooLarge(details, message),
  };
}

// As client-go's IsTooLargeResourceVersion; before 1.18 only the text said it.
function isTooLarge(details: Readonly<Record<string, unknown>>, message: string): boolean {
  const causes = Array.isArray(details["causes"]) ? details["causes"] : [];
  const isCause = causes.some((cause) => isJsonObject(cause) && cause["reason"] === "ResourceVersionTooLarge");
  return isCause || message.includes("Too large resource version");
}

function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
