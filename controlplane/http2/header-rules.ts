/** Which headers make a request: https://www.rfc-editor.org/rfc/rfc9113#section-8.2 and 8.3. What they mean is not looked at. */
import type { Header } from "./header-decoder.ts";

const required: readonly string[] = [":method", ":scheme", ":path"];
const known: ReadonlySet<string> = new Set([...required, ":authority"]);
const ofConnections: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

// Those of a connection that begins as the one before did are the same object.
let lastGood: readonly Header[] | undefined;

export function isRequest(headers: readonly Header[]): boolean {
  if (headers === lastGood) return true;
  if (!isGood(headers)) return false;
  lastGood = headers;
  return true;
}

function isGood(headers: readonly Header[]): boolean {
  const pseudo = new Map<string, string>();
  let isPseudoOver = false;
  for (const [name, value] of headers) {
    if (name.startsWith(":")) {
      if (isPseudoOver || !known.has(name) || pseudo.has(name)) return false;
      pseudo.set(name, value);
      continue;
    }
    isPseudoOver = true;
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || ofConnections.has(name)) return false;
    if (name === "te" && value !== "trailers") return false;
  }
  return required.every((name) => (pseudo.get(name) ?? "") !== "");
}
