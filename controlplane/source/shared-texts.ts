/**
 * One string for equal texts. Every endpoint names its node and zone, and every parsed object brings strings of its own: at 250,000
 * endpoints 16 MB of the same few hundred names. Which string stands for a text cannot be seen, so this is no state of anything.
 */

/** Then all are forgotten: what is held stays shared, what comes is shared anew. */
const textsMax = 65_536;

const shared = new Map<string, string>();

export function sharedText(text: string): string {
  const known = shared.get(text);
  if (known !== undefined) return known;
  if (shared.size >= textsMax) shared.clear();
  shared.set(text, text);
  return text;
}
