/**
 * The YAML that programs write: block mappings and lists, scalars on one line, small flow collections. One pass, about 20 times as
 * fast as a whole YAML parser, which is what makes large folders readable. It never guesses: at the first thing it does not know
 * for sure (anchors, tags, block scalars, comments behind values, odd numbers, …) it gives up and the whole parser decides.
 * That both agree is tested with random documents.
 */

/** Values in values. */
const depthMax = 64;

/** Characters of a line. The engine's regular expressions overflow the stack on lines of some megabytes. */
const lineCharactersMax = 65_536;

/** Keys of one mapping; the engine's objects slow down with millions. */
const keysMax = 100_000;

/** Thrown and caught in this file only: the way out of a recursion that is many calls deep. */
class NotPlain extends Error {}

/** One object for all: a stack per document would cost more than the reading. */
const giveUp = new NotPlain("not plain YAML");

/** The value of one document without its markers. Undefined: not plain YAML, which says nothing about whether it is YAML. */
export function parsePlainYaml(text: string): { readonly value: unknown } | undefined {
  try {
    const reader = new PlainYaml(text);
    return { value: reader.document() };
  } catch (thrown) {
    if (thrown === giveUp) return undefined;
    throw thrown;
  }
}

class PlainYaml {
  readonly #text: string;
  /** Offset behind the line. */
  #next = 0;
  /** Column of the line's content; -1 behind the last line. */
  #indent = -1;
  /** Content of the line, without blanks at its ends. */
  #line = "";

  constructor(text: string) {
    this.#text = text;
    this.#advance();
  }

  document(): unknown {
    if (this.#indent < 0) return null;
    const value = this.#block(this.#indent, 0);
    if (this.#indent >= 0) throw giveUp;
    return value;
  }

  // To the next line that has content. Comments of their own are no content.
  #advance(): void {
    const text = this.#text;
    while (this.#next < text.length) {
      const lineStart = this.#next;
      let start = lineStart;
      while (text.charCodeAt(start) === space) start++;
      let end = text.indexOf("\n", start);
      if (end < 0) end = text.length;
      this.#next = end + 1;
      if (start === end || text.charCodeAt(start) === hash) continue;
      while (text.charCodeAt(end - 1) === space) end--;
      if (end - start > lineCharactersMax) throw giveUp;
      this.#indent = start - lineStart;
      this.#line = text.slice(start, end);
      return;
    }
    this.#indent = -1;
    this.#line = "";
  }

  #block(indent: number, depth: number): unknown {
    if (depth > depthMax) throw giveUp;
    return isItem(this.#line) ? this.#list(indent, depth) : this.#mapping(indent, depth);
  }

  #list(indent: number, depth: number): unknown[] {
    const items: unknown[] = [];
    while (this.#indent === indent && isItem(this.#line)) {
      const content = withoutBlanks(this.#line, 1);
      if (content === "") {
        this.#advance();
        items.push(this.#indent > indent ? this.#block(this.#indent, depth + 1) : null);
      } else if (isItem(content) || keyEnd(content) >= 0) {
        // What follows the dash is the first line of a block of its own, at the column where it stands.
        const column = indent + this.#line.length - content.length;
        this.#indent = column;
        this.#line = content;
        items.push(this.#block(column, depth + 1));
      } else {
        items.push(inline(content, depth));
        this.#advance();
      }
      if (this.#indent > indent) throw giveUp;
    }
    return items;
  }

  #mapping(indent: number, depth: number): Record<string, unknown> {
    const mapping: Record<string, unknown> = {};
    for (let keys = 0; this.#indent === indent && !isItem(this.#line); keys++) {
      if (keys === keysMax) throw giveUp;
      const end = keyEnd(this.#line);
      if (end < 0) throw giveUp;
      const key = keyOf(this.#line.slice(0, end));
      const content = withoutBlanks(this.#line, end + 1);
      if (content === "|" || content === "|-") {
        mapping[key] = this.#literal(indent, content === "|");
        continue;
      }
      this.#advance();
      if (content !== "") mapping[key] = inline(content, depth);
      else if (this.#indent > indent) mapping[key] = this.#block(this.#indent, depth + 1);
      else if (this.#indent === indent && isItem(this.#line)) mapping[key] = this.#list(indent, depth + 1);
      else mapping[key] = null;
      if (this.#indent > indent) throw giveUp;
    }
    return mapping;
  }

  // The lines of a literal text ("|"), as the command line prints annotations. `indent` is its key's.
  #literal(indent: number, isEnded: boolean): string {
    const text = this.#text;
    const lines: string[] = [];
    let column = -1;
    while (this.#next < text.length) {
      const start = this.#next;
      let end = text.indexOf("\n", start);
      if (end < 0) end = text.length;
      let first = start;
      while (text.charCodeAt(first) === space) first++;
      if (first === end) {
        // A line of blanks only can be content; how much of it is has rules of its own.
        if (first > start || column < 0) throw giveUp;
        lines.push("");
      } else {
        if (first - start <= indent) break;
        if (column < 0) column = first - start;
        if (first - start < column || text.charCodeAt(first) === tab) throw giveUp;
        lines.push(text.slice(start + column, end));
      }
      this.#next = end + 1;
    }
    while (lines.at(-1) === "") lines.pop();
    if (lines.length === 0) throw giveUp;
    this.#advance();
    return lines.join("\n") + (isEnded ? "\n" : "");
  }
}

const tab = 0x09;
const space = 0x20;
const hash = 0x23;
const colon = 0x3a;

// The rest of a line behind blanks; only these, trimStart would take other white space too.
function withoutBlanks(line: string, from: number): string {
  while (line.charCodeAt(from) === space) from++;
  return line.slice(from);
}

function isItem(line: string): boolean {
  return line.charCodeAt(0) === 0x2d && (line.length === 1 || line.charCodeAt(1) === space);
}

// Offset of the colon behind a line's key; -1: the line has none.
function keyEnd(line: string): number {
  const quote = line[0];
  if (quote === "[" || quote === "{") return -1;
  const from = quote === '"' || quote === "'" ? line.indexOf(quote, 1) + 1 : 0;
  const end = line.indexOf(":", from);
  if (end < 0) return -1;
  return end + 1 === line.length || line.charCodeAt(end + 1) === space ? end : -1;
}

// Keys that are no text to YAML (numbers, null, truth values, "<<") are left to the whole parser.
function keyOf(text: string): string {
  const key = text[0] === '"' || text[0] === "'" ? quoted(text) : text;
  const isText = key === text ? /^[A-Za-z][-A-Za-z0-9_./]*$/.test(text) && typeof plain(text) === "string" : true;
  if (!isText || key === "__proto__" || key === "<<") throw giveUp;
  return key;
}

// A value that begins and ends on its line.
function inline(text: string, depth: number): unknown {
  const first = text[0];
  if (first === '"' || first === "'") return quoted(text);
  if (first === "[" || first === "{") {
    const flow = new Flow(text);
    const value = flow.value(depth + 1);
    flow.end();
    return value;
  }
  return plain(text);
}

// No quote inside; escapes only as JSON has them, which mean the same in YAML.
function quoted(text: string): string {
  const quote = text[0] ?? "";
  if (quote === '"' && text.includes("\\")) return escaped(text);
  const content = text.slice(1, -1);
  if (text.length < 2 || text.at(-1) !== quote || content.includes(quote) || content.includes("\\")) throw giveUp;
  return content;
}

function escaped(text: string): string {
  // A tab may stand in YAML as it is, not in JSON.
  for (const character of text) if (character < " ") throw giveUp;
  if (!/^"(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"$/.test(text)) throw giveUp;
  return String(JSON.parse(text));
}

/** Texts whose characters mean nothing else anywhere in YAML; a colon must be followed by something. */
const plainText =
  /^(?:[A-Za-z0-9_./+(=^$;]|[:-](?=[^\s:,-]|:[^\s:,]))(?:[^\s#:,[\]{}&*!|>'"%@`\\\u0080-\uffff]|:(?=[^\s,\]}])| (?=[^\s#:,-]))*$/;
const wholeNumber = /^-?(?:0|[1-9]\d{0,14})$/;
/** All that YAML 1.2 reads as a number, and more. */
const oddNumber = /^(?:[-+]?\.?\d[\d.eE+_-]*|0[xo][0-9a-fA-F]*|[-+]?\.(?:inf|nan))$/i;
const addressLike = /^\d+\.\d+\.\d+/;

function plain(text: string): string | number | boolean | null {
  if (!plainText.test(text)) {
    if (text === "~") return null;
    throw giveUp;
  }
  if (text === "true" || text === "True" || text === "TRUE") return true;
  if (text === "false" || text === "False" || text === "FALSE") return false;
  if (text === "null" || text === "Null" || text === "NULL") return null;
  if (wholeNumber.test(text)) return text === "-0" ? fail() : Number(text);
  if (oddNumber.test(text) && !addressLike.test(text)) throw giveUp;
  return text;
}

function fail(): never {
  throw giveUp;
}

// "[a, b]" and "{a: b}" on one line.
class Flow {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  end(): void {
    if (this.#at !== this.#text.length) throw giveUp;
  }

  value(depth: number): unknown {
    if (depth > depthMax) throw giveUp;
    const first = this.#text[this.#at];
    if (first === "[") return this.#list(depth);
    if (first === "{") return this.#mapping(depth);
    return first === '"' || first === "'" ? this.#quoted(first) : plain(this.#until(/[,\]}]/g));
  }

  #list(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#at++;
    this.#blanks();
    while (this.#text[this.#at] !== "]") {
      const from = this.#at;
      items.push(this.value(depth + 1));
      // "[a: b]" is a list of a mapping.
      if (/:\s/.test(this.#text.slice(from, this.#at)) && typeof items.at(-1) !== "object") throw giveUp;
      this.#separator("]");
    }
    this.#at++;
    return items;
  }

  #mapping(depth: number): Record<string, unknown> {
    const mapping: Record<string, unknown> = {};
    this.#at++;
    this.#blanks();
    while (this.#text[this.#at] !== "}") {
      const first = this.#text[this.#at];
      const key = first === '"' || first === "'" ? this.#quotedKey(first) : keyOf(this.#until(/[:,\]}]/g));
      if (this.#text.charCodeAt(this.#at) !== colon || this.#text.charCodeAt(this.#at + 1) !== space) throw giveUp;
      this.#at++;
      this.#blanks();
      mapping[key] = this.value(depth + 1);
      this.#separator("}");
    }
    this.#at++;
    return mapping;
  }

  #separator(close: string): void {
    this.#blanks();
    const next = this.#text[this.#at];
    if (next === close) return;
    if (next !== "," || this.#text.charCodeAt(this.#at + 1) !== space) throw giveUp;
    this.#at++;
    this.#blanks();
    if (this.#text[this.#at] === close) throw giveUp;
  }

  #quotedKey(quote: string): string {
    const key = this.#quoted(quote);
    if (key === "__proto__" || key === "<<") throw giveUp;
    return key;
  }

  #quoted(quote: string): string {
    const end = this.#text.indexOf(quote, this.#at + 1);
    if (end < 0) throw giveUp;
    const text = this.#text.slice(this.#at, end + 1);
    this.#at = end + 1;
    if (this.#text[this.#at] === quote) throw giveUp;
    return quoted(text);
  }

  #until(stop: RegExp): string {
    stop.lastIndex = this.#at;
    const end = stop.exec(this.#text)?.index ?? -1;
    if (end < 0) throw giveUp;
    const text = this.#text.slice(this.#at, end).replace(/ +$/, "");
    this.#at = end;
    return text;
  }

  #blanks(): void {
    while (this.#text.charCodeAt(this.#at) === space) this.#at++;
  }
}
