/** Writing to stdout, which carries only what a program specifies: shell. */

/** Resolves once it is with the reader: writes to a pipe that is full wait in the process, and an exit would lose them. */
export function writeOut(text: string | Uint8Array): Promise<void> {
  if (text.length === 0) return Promise.resolve();
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
