/** What is said of pipes, devices and sockets. */
export const notRegular = "is not a regular file";

/** What an error of the file system says, without the path that the caller names anyway: "permission denied (EACCES)". */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const match = /^([A-Z0-9]+): ([^,]+),/.exec(message);
  return match === null ? (message.split("\n", 1)[0] ?? "") : `${match[2]} (${match[1]})`;
}
