/** What the demo prints: plain lines, coloured on a terminal unless NO_COLOR is set. */

const width = 78;

export class Screen {
  readonly #write: (text: string) => void;
  readonly #isColored: boolean;

  constructor(write: (text: string) => void, isColored: boolean) {
    this.#write = write;
    this.#isColored = isColored;
  }

  title(text: string, subtitle: string): void {
    this.#line();
    this.#line(`  ${this.bold(text)}`);
    this.#line(`  ${this.dim(subtitle)}`);
  }

  chapter(text: string): void {
    this.#line();
    this.#line(`  ${this.bold(this.cyan(text))}`);
  }

  /** One thing that was done, and how long it took. */
  done(what: string, detail: string, elapsedMs: number): void {
    const left = `    ${what.padEnd(16)}${detail}`;
    this.#line(`${left.padEnd(width - 9)}${this.dim(seconds(elapsedMs).padStart(9))}`);
  }

  /** A fact under the chapter. */
  fact(name: string, value: string): void {
    this.#line(`    ${this.dim(name.padEnd(16))}${value}`);
  }

  say(text: string): void {
    this.#line(`    ${text}`);
  }

  /** As typed by a person, then what it answered. */
  command(line: string, answer: string): void {
    this.#line(`    ${this.dim("$")} ${line}`);
    for (const text of answer.trimEnd().split("\n")) this.#line(`      ${this.dim(text)}`);
  }

  problem(text: string): void {
    this.#line(`    ${this.red("failed")}          ${text}`);
  }

  blank(): void {
    this.#line();
  }

  bold(text: string): string {
    return this.#colored("1", text);
  }

  dim(text: string): string {
    return this.#colored("2", text);
  }

  green(text: string): string {
    return this.#colored("32", text);
  }

  red(text: string): string {
    return this.#colored("31", text);
  }

  cyan(text: string): string {
    return this.#colored("36", text);
  }

  #colored(code: string, text: string): string {
    return this.#isColored ? `\u001b[${code}m${text}\u001b[0m` : text;
  }

  #line(text = ""): void {
    this.#write(`${text.trimEnd()}\n`);
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

export function milliseconds(us: number): string {
  return `${(us / 1_000).toFixed(us < 100_000 ? 1 : 0)} ms`;
}

export function count(of: number, one: string, many = `${one}s`): string {
  return `${of.toLocaleString("en-US")} ${of === 1 ? one : many}`;
}
