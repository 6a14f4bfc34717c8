/** What comes of parsing a manifest, and what its parsers have in common. */

/** Values in values. The API's objects need 10. */
export const depthMax = 64;

export type ParsedManifest =
  /** null: an empty document. */
  | { readonly kind: "parsed"; readonly documents: readonly unknown[] }
  /** `line`: from 1, if known. */
  | { readonly kind: "unparsable"; readonly line: number | undefined; readonly message: string };

export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i >= 0 && i < offset; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

export function firstLine(message: string): string {
  return message.split("\n", 1)[0]?.slice(0, 200) ?? "";
}

export function unparsable(line: number | undefined, message: string): ParsedManifest {
  return { kind: "unparsable", line, message };
}
