/** One YAML text -> its documents. A line "---" begins a document wherever it stands, whatever is around it. */

export interface DocumentText {
  readonly text: string;
  /** Lines of the file before it. */
  readonly linesBefore: number;
}

/** Undefined: it has directives, end marks or content behind a "---", which are left to a whole parser. */
export function splitDocuments(text: string): readonly DocumentText[] | undefined {
  if (/^(?:%|\.\.\.(?:\s|$)|---[ \t]+[^\s#])/m.test(text)) return undefined;
  const documents: DocumentText[] = [];
  let start = 0;
  let linesBefore = 0;
  for (const marker of text.matchAll(/^---(?:[ \t].*)?(?:\n|$)/gm)) {
    const document = text.slice(start, marker.index);
    // What stands before the first mark is a document only if it has content.
    if (documents.length > 0 || start > 0 || !isBlank(document)) documents.push({ text: document, linesBefore });
    linesBefore += countLines(document) + 1;
    start = marker.index + marker[0].length;
  }
  documents.push({ text: text.slice(start), linesBefore });
  return documents;
}

function isBlank(text: string): boolean {
  return !/^[ \t]*[^\s#]/m.test(text);
}

/** Line ends. */
export function countLines(text: string): number {
  let lines = 0;
  for (let i = text.indexOf("\n"); i >= 0; i = text.indexOf("\n", i + 1)) lines++;
  return lines;
}
