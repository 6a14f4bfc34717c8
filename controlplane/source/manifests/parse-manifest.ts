/** Bytes of a manifest -> the values of its documents. The one place that knows the `yaml` package. */
import { Composer, Lexer, Parser } from "yaml";
import type { Document } from "yaml";
import { parsePlainYaml } from "./plain-yaml.ts";
import { splitDocuments } from "./split-documents.ts";
import type { DocumentText } from "./split-documents.ts";

/** Values in values. The API's objects need 10. */
const depthMax = 64;
/** The library costs about 1 us and 200 bytes of memory a character; this keeps one file below some seconds (S30). */
const libraryCharactersMax = 8 * 1_048_576;
/** A merge key copies the keys of what it names: merges x lines bounds the copies. */
const mergeCopiesMax = 10_000_000;

export type ParsedManifest =
  /** null: an empty document. */
  | { readonly kind: "parsed"; readonly documents: readonly unknown[] }
  /** `line`: from 1, if known. */
  | { readonly kind: "unparsable"; readonly line: number | undefined; readonly message: string };

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
  if (text.includes("\r")) text = text.replaceAll("\r\n", "\n");
  if (isJson) return parseJson(text);
  const documents = splitDocuments(text);
  return documents === undefined ? parseByLibrary(text, 0) : parseDocuments(documents);
}

// The fast ways first; the whole parser for the rest, and for what to say about what is wrong.
function parseDocuments(texts: readonly DocumentText[]): ParsedManifest {
  const documents: unknown[] = [];
  let libraryCharacters = 0;
  for (const { text, linesBefore } of texts) {
    const parsed = /^\s*[{[]/.test(text) ? parseJson(text) : parsePlain(text);
    if (parsed?.kind === "parsed") {
      documents.push(...parsed.documents);
      continue;
    }
    libraryCharacters += text.length;
    const whole =
      libraryCharacters > libraryCharactersMax ? tooLarge(libraryCharacters) : parseByLibrary(text, linesBefore);
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

function tooLarge(characters: number): ParsedManifest {
  const message = `has ${characters} characters of elaborate YAML; more than ${libraryCharactersMax} are read of JSON and plain YAML only`;
  return unparsable(undefined, message);
}

function parseByLibrary(text: string, linesBefore: number): ParsedManifest {
  if (text.length > libraryCharactersMax) return tooLarge(text.length);
  const merges = text.split("<<").length - 1;
  if (merges > 0 && merges * text.split("\n").length > mergeCopiesMax)
    return unparsable(undefined, "has too many merge keys");
  const parser = new Parser();
  // Unique keys are checked by comparing each pair of a mapping: quadratic. As in JSON the last one counts.
  const composer = new Composer({ version: "1.2", merge: true, uniqueKeys: false, logLevel: "silent" });
  const documents: unknown[] = [];
  try {
    for (const lexeme of new Lexer().lex(text)) {
      for (const token of parser.next(lexeme)) {
        for (const document of composer.next(token)) documents.push(valueOf(document, text));
      }
      if (parser.stack.length > depthMax)
        throw new Unparsable(lineAt(text, parser.offset), `is nested more than ${depthMax} deep`);
    }
    for (const token of parser.end()) {
      for (const document of composer.next(token)) documents.push(valueOf(document, text));
    }
    for (const document of composer.end(false, text.length)) documents.push(valueOf(document, text));
  } catch (error) {
    if (error instanceof Unparsable) return unparsable(linesBefore + error.line, error.message);
    return unparsable(undefined, `is not YAML: ${firstLine(error instanceof Error ? error.message : String(error))}`);
  }
  return { kind: "parsed", documents };
}

class Unparsable extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

function valueOf(document: Document.Parsed, text: string): unknown {
  const error = document.errors[0];
  if (error !== undefined) throw new Unparsable(lineAt(text, error.pos[0]), `is not YAML: ${firstLine(error.message)}`);
  // Values behind aliases are shared, not copied, so their number needs no limit here; readers look at each value once.
  return document.toJS({ maxAliasCount: -1 });
}

function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i >= 0 && i < offset; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

function firstLine(message: string): string {
  return message.split("\n", 1)[0]?.slice(0, 200) ?? "";
}

function unparsable(line: number | undefined, message: string): ParsedManifest {
  return { kind: "unparsable", line, message };
}
