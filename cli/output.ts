/** Writing for people and for programs. stdout carries only what a command specifies. */

/** Resolves once the text is with the reader, so that an exit right after loses nothing. */
export function writeOut(text: string): Promise<void> {
  if (text === "") return Promise.resolve();
  return new Promise((resolve, reject) => {
    // A reader that went away is an 'error' event as well, which ends the program quietly.
    process.stdout.write(text, (error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}

/** NDJSON. */
export function writeLines(lines: Iterable<string>): Promise<void> {
  let text = "";
  for (const line of lines) text += `${line}\n`;
  return writeOut(text);
}

/** One line on stderr. */
export function note(text: string): void {
  process.stderr.write(`weft: ${text.replaceAll(/\s*\n\s*/g, " ")}\n`);
}

/** Columns as wide as their widest cell, two blanks between them. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return all.map((row) => `${line(row)}\n`).join("");
}
