/** Bytes of a manifest -> the values of its documents. The fast ways first, the whole parser for the rest. */
import { ElaborateYaml } from "./elaborate-yaml.ts";
import { depthMax, firstLine, lineAt, unparsable } from "./parsed-manifest.ts";
import type { ParsedManifest } from "./parsed-manifest.ts";
import { parsePlainYaml } from "./plain-yaml.ts";
import { countLines, splitDocuments } from "./split-documents.ts";
import type { DocumentText } from "./split-documents.ts";

/** 250,000 endpoints are 2 to 4 million lines of YAML, about 0.5 us each. */
const linesMax = 6_000_000;

/** Never throws: whatever the bytes are, the answer is a value. */
export function parseManifest(bytes: Uint8Array, isJson: boolean): ParsedManifest {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return unparsable(undefined, "is not UTF-8 text");
  }
  // eslint-disable-next-line no-control-regex -- these are what tells text from binary garbage
  const control = /[\0-\x08\x0b\x0c\x0e-\x1f]/.exec(text);
  if (control !== null) return unparsable(lineAt(text, control.index), "holds a control character; it must be text");
  if (text.includes("\r")) text = text.replaceAll(/\r\n?/g, "\n");
  if (isJson) return parseJson(text);
  if (countLines(text) > linesMax)
    return unparsable(undefined, `has more than ${linesMax} lines; split it, or write JSON`);
  const documents = splitDocuments(text);
  return documents === undefined ? new ElaborateYaml().parse(text, 0) : parseDocuments(documents);
}

// What is wrong with a document is for the whole parser to say.
function parseDocuments(texts: readonly DocumentText[]): ParsedManifest {
  const documents: unknown[] = [];
  const elaborate = new ElaborateYaml();
  for (const { text, linesBefore } of texts) {
    const parsed = /^\s*[{[]/.test(text) ? parseJson(text) : parsePlain(text);
    if (parsed?.kind === "parsed") {
      documents.push(...parsed.documents);
      continue;
    }
    const whole = elaborate.parse(text, linesBefore);
    if (whole.kind === "unparsable") return whole;
    documents.push(...(whole.documents.length === 0 ? [null] : whole.documents));
  }
  return { kind: "parsed", documents };
}

function parsePlain(text: string): ParsedManifest | undefined {
  const plain = parsePlainYaml(text);
  return plain === undefined ? undefined : { kind: "parsed", documents: [plain.value] };
}

function parseJson(text: string): ParsedManifest {
  const deep = firstTooDeep(text);
  if (deep !== undefined) return unparsable(lineAt(text, deep), `is nested more than ${depthMax} deep`);
  try {
    return { kind: "parsed", documents: [JSON.parse(text)] };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const line = /line (\d+)/.exec(message)?.[1];
    return unparsable(line === undefined ? undefined : Number(line), `is not JSON: ${firstLine(message)}`);
  }
}

// Offset of the first bracket beyond the allowed depth. JSON.parse itself would take any depth, at 50 bytes a level.
function firstTooDeep(text: string): number | undefined {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      i = endOfString(text, i);
    } else if (code === 0x5b || code === 0x7b) {
      if (++depth > depthMax) return i;
    } else if (code === 0x5d || code === 0x7d) {
      depth--;
    }
  }
  return undefined;
}

function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x5c) i++;
    else if (code === 0x22) return i;
  }
  return text.length;
}
