/** Reads what a program serves at /metrics with a parser that is not ours. */
import { createRequire } from "node:module";

interface ParsedFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly metrics: readonly { readonly labels?: Readonly<Record<string, string>>; readonly value?: string }[];
}

// CommonJS, without types. @throws InvalidLineError.
const parse = createRequire(import.meta.url)("parse-prometheus-text-format") as (text: string) => ParsedFamily[];

export interface ScrapedFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
}

export interface ScrapedSample {
  /** With `_bucket`, `_sum` or `_count` if it is of a histogram. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Scrape {
  readonly contentType: string | null;
  /** Lines that hold a sample. */
  readonly lines: number;
  readonly families: ReadonlyMap<string, ScrapedFamily>;
  readonly samples: readonly ScrapedSample[];
  /** Value of the first sample of that name with these labels; undefined: there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
}

/** @param url Of /metrics. @throws The parser's InvalidLineError. */
export async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(url);
  const text = await response.text();
  const families = new Map(parse(text).map(({ name, help, type }) => [name, { name, help, type }]));
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  // The parser puts the series of one histogram together whatever their labels; as lines alone they keep them.
  const samples = parse(lines.map((line) => `${line}\n`).join("")).flatMap(({ name, metrics }) =>
    metrics.map(({ labels = {}, value }) => ({ name, labels, value: Number(value) })),
  );
  const value = (name: string, labels: Readonly<Record<string, string>> = {}): number | undefined =>
    samples.find(
      (sample) => sample.name === name && Object.entries(labels).every(([of, is]) => sample.labels[of] === is),
    )?.value;
  return { contentType: response.headers.get("content-type"), lines: lines.length, families, samples, value };
}
