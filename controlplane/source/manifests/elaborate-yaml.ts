/** All of YAML, by the `yaml` package: this file and `yaml-value.ts` are the only ones that know it. */
import { Composer, Lexer, Parser } from "yaml";
import type { Document } from "yaml";
import { depthMax, firstLine, lineAt, unparsable } from "./parsed-manifest.ts";
import type { ParsedManifest } from "./parsed-manifest.ts";
import { YamlValueError, yamlValue } from "./yaml-value.ts";

/**
 * What one file may cost, in characters and in the package's lexemes: about 1.5 us and 400 bytes each, so some seconds (S30). 10,000
 * endpoints with all their fields are 4 million characters and 1 million lexemes.
 */
const charactersMax = 8 * 1_048_576;
const lexemesMax = 1_500_000;

/** Parses the documents of one file; the limits hold for all of them together. */
export class ElaborateYaml {
  #characters = 0;
  #lexemes = 0;

  /** @param linesBefore lines of the file before `text`. */
  parse(text: string, linesBefore: number): ParsedManifest {
    this.#characters += text.length;
    if (this.#characters > charactersMax) return tooLarge(undefined, `${charactersMax} characters`);
    const parser = new Parser();
    // Unique keys are checked by comparing each pair of a mapping: quadratic. As in JSON the last one counts.
    const composer = new Composer({ version: "1.2", uniqueKeys: false, logLevel: "silent" });
    const documents: unknown[] = [];
    try {
      for (const lexeme of new Lexer().lex(text)) {
        if (++this.#lexemes > lexemesMax)
          return tooLarge(linesBefore + lineAt(text, parser.offset), `${lexemesMax} parts`);
        for (const token of parser.next(lexeme)) {
          for (const document of composer.next(token)) documents.push(valueOf(document, text));
        }
        if (parser.stack.length > depthMax) {
          return unparsable(linesBefore + lineAt(text, parser.offset), `is nested more than ${depthMax} deep`);
        }
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
}

function tooLarge(line: number | undefined, limit: string): ParsedManifest {
  return unparsable(line, `has more than ${limit} of elaborate YAML; split it, or write JSON or plain YAML`);
}

class Unparsable extends Error {
  readonly line: number;

  constructor(line: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.line = line;
  }
}

function valueOf(document: Document.Parsed, text: string): unknown {
  const error = document.errors[0];
  if (error !== undefined) throw new Unparsable(lineAt(text, error.pos[0]), `is not YAML: ${firstLine(error.message)}`);
  try {
    return yamlValue(document.contents);
  } catch (thrown) {
    if (!(thrown instanceof YamlValueError)) throw thrown;
    throw new Unparsable(lineAt(text, thrown.offset ?? 0), `is not usable YAML: ${thrown.message}`, { cause: thrown });
  }
}
