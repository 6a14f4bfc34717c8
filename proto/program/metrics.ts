/**
 * Metrics in the Prometheus text format 0.0.4, or in OpenMetrics 1.0 with exemplars for those who ask. Our own registry: `@prometheus-io/client` costs 18 MB RSS in the agent.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

/** Values of a metric's labels, in the order of its label names. */
type LabelValues = readonly string[];

export interface Counter {
  inc(by?: number): void;
}

export interface Gauge {
  set(value: number): void;
  inc(by?: number): void;
}

export interface Histogram {
  /** `exemplar`: a case in point; the last one of each bucket is told. */
  observe(value: number, exemplar?: Exemplar): void;
}

/** At most 128 characters of names and values. */
export interface Exemplar {
  readonly labels: Readonly<Record<string, string>>;
  /** Unix seconds. */
  readonly atSeconds: number;
}

/** The text format of Prometheus, or OpenMetrics: exemplars, and a form of numbers and of counters of its own. */
export type Exposition = "text" | "openmetrics";

/** A metric with labels. Bind a child once, outside of hot paths. */
export interface Labelled<M> {
  /** The series of these label values, made when new. Past `seriesMax` all new ones share one that is not printed. */
  with(...values: LabelValues): M;
  /** Drops the series of these label values. */
  remove(...values: LabelValues): void;
}

export interface Description {
  /** Counters end in `_total`; units stand last: `_seconds`, `_bytes`. */
  readonly name: string;
  readonly help: string;
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Most series of one metric: labels come from outside (nodes, services) and must not fill memory. */
const defaultSeriesMax = 1_000;

/** Seconds, from 100 us to 10 s. */
export const latencyBuckets: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

type MetricType = "counter" | "gauge" | "histogram";

interface Metric extends Description {
  readonly type: MetricType;
  readonly print: (name: string, as: Exposition) => string;
}

export class Metrics {
  // By family: a gauge `a` and a counter `a_total` would be one.
  readonly #metrics = new Map<string, Metric>();
  readonly #overflow: Labelled<Counter>;

  constructor() {
    this.#overflow = this.counterWith(
      {
        name: "weft_metrics_series_overflow_total",
        help: "Series that were not made because their metric has too many.",
      },
      ["metric"],
    );
  }

  counter(description: Description): Counter {
    return this.counterWith(description, []).with();
  }

  counterWith(description: Description, labelNames: readonly string[], seriesMax?: number): Labelled<Counter> {
    this.#checkCounter("counter", description);
    return this.#family(description, "counter", labelNames, seriesMax, () => new Value());
  }

  gauge(description: Description): Gauge {
    return this.gaugeWith(description, []).with();
  }

  gaugeWith(description: Description, labelNames: readonly string[], seriesMax?: number): Labelled<Gauge> {
    return this.#family(description, "gauge", labelNames, seriesMax, () => new Value());
  }

  histogram(description: Description, bounds: readonly number[]): Histogram {
    return this.histogramWith(description, [], bounds).with();
  }

  /** @param bounds Upper bounds, ascending, without +Inf. */
  histogramWith(
    description: Description,
    labelNames: readonly string[],
    bounds: readonly number[],
    seriesMax?: number,
  ): Labelled<Histogram> {
    if (bounds.some((bound, i) => !(bound > (bounds[i - 1] ?? Number.NEGATIVE_INFINITY)) || !Number.isFinite(bound))) {
      throw new RangeError(`the bounds of ${description.name} must ascend and be finite`);
    }
    return this.#family(description, "histogram", labelNames, seriesMax, () => new Distribution(bounds));
  }

  /** A gauge or counter that is read when it is printed. `read` throws: it is left out. */
  observed(type: "counter" | "gauge", description: Description, read: () => number | readonly Sample[]): void {
    this.#checkCounter(type, description);
    const print = (name: string): string => {
      const value = read();
      if (typeof value === "number") return `${name} ${printNumber(value)}\n`;
      return value
        .map(({ labels, value: number }) => `${name}${printLabels(Object.entries(labels))} ${printNumber(number)}\n`)
        .join("");
    };
    this.#add({ ...description, type, print });
  }

  static readonly contentTypes: Readonly<Record<Exposition, string>> = {
    text: "text/plain; version=0.0.4; charset=utf-8",
    openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  };

  /** What an `Accept` header asks for; Prometheus names OpenMetrics when it can read it. */
  static accepted(accept: string | undefined): Exposition {
    return accept?.includes("application/openmetrics-text") === true ? "openmetrics" : "text";
  }

  print(as: Exposition = "text"): string {
    let text = "";
    for (const [openFamily, metric] of this.#metrics) {
      let samples: string;
      try {
        samples = metric.print(metric.name, as);
      } catch {
        continue;
      }
      if (samples === "") continue;
      const family = as === "openmetrics" ? openFamily : metric.name;
      text += `# HELP ${family} ${escapeHelp(metric.help)}\n# TYPE ${family} ${metric.type}\n${samples}`;
    }
    return as === "openmetrics" ? `${text}# EOF\n` : text;
  }

  #family<M extends Series>(
    description: Description,
    type: MetricType,
    labelNames: readonly string[],
    seriesMax: number | undefined,
    make: () => M,
  ): Labelled<M> {
    for (const name of labelNames) {
      if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) || name.startsWith("__") || name === "le") {
        throw new RangeError(`${description.name} cannot have a label ${name}`);
      }
    }
    const overflowed = (): void => this.#overflow.with(description.name).inc();
    const family = new Family(labelNames, seriesMax ?? defaultSeriesMax, make, overflowed);
    this.#add({ ...description, type, print: (name, as) => family.print(name, as) });
    return family;
  }

  #checkCounter(type: MetricType, { name }: Description): void {
    if (type === "counter" && !name.endsWith("_total")) throw new RangeError(`the counter ${name} must end in _total`);
  }

  #add(metric: Metric): void {
    if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(metric.name)) throw new RangeError(`not a metric name: ${metric.name}`);
    // In OpenMetrics a counter's family is named without the suffix of its sample.
    const family = metric.type === "counter" ? metric.name.slice(0, -"_total".length) : metric.name;
    const present = this.#metrics.get(family);
    if (present !== undefined) throw new RangeError(`the metric ${metric.name} exists already, as ${present.name}`);
    this.#metrics.set(family, metric);
  }
}

interface Series {
  print(name: string, labels: readonly (readonly [string, string])[], as: Exposition): string;
}

class Family<M extends Series> implements Labelled<M> {
  readonly #series = new Map<string, { readonly labels: readonly (readonly [string, string])[]; readonly metric: M }>();
  readonly #labelNames: readonly string[];
  readonly #seriesMax: number;
  readonly #make: () => M;
  readonly #overflowed: () => void;
  // Takes what the series past the limit would count.
  #rest: M | undefined;

  constructor(labelNames: readonly string[], seriesMax: number, make: () => M, overflowed: () => void) {
    this.#labelNames = labelNames;
    this.#seriesMax = seriesMax;
    this.#make = make;
    this.#overflowed = overflowed;
  }

  with(...values: LabelValues): M {
    if (values.length !== this.#labelNames.length)
      throw new RangeError(`labels ${this.#labelNames.join(", ")} need a value each`);
    const key = values.join("\u0000");
    const known = this.#series.get(key);
    if (known !== undefined) return known.metric;
    if (this.#series.size >= this.#seriesMax) {
      this.#overflowed();
      return (this.#rest ??= this.#make());
    }
    const metric = this.#make();
    this.#series.set(key, { labels: this.#labelNames.map((name, i) => [name, values[i] ?? ""] as const), metric });
    return metric;
  }

  remove(...values: LabelValues): void {
    this.#series.delete(values.join("\u0000"));
  }

  print(name: string, as: Exposition): string {
    let text = "";
    for (const { labels, metric } of this.#series.values()) text += metric.print(name, labels, as);
    return text;
  }
}

class Value implements Series, Counter, Gauge {
  #value = 0;

  inc(by = 1): void {
    this.#value += by;
  }

  set(value: number): void {
    this.#value = value;
  }

  print(name: string, labels: readonly (readonly [string, string])[]): string {
    return `${name}${printLabels(labels)} ${printNumber(this.#value)}\n`;
  }
}

class Distribution implements Series, Histogram {
  readonly #bounds: readonly number[];
  // Per bucket, not cumulative; the last is +Inf.
  readonly #counts: Float64Array;
  // By bucket; made with the first one.
  #exemplars: Map<number, { readonly value: number; readonly of: Exemplar }> | undefined;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number, exemplar?: Exemplar): void {
    let i = 0;
    while (i < this.#bounds.length && value > (this.#bounds[i] ?? 0)) i++;
    this.#counts[i] = (this.#counts[i] ?? 0) + 1;
    this.#sum += value;
    if (exemplar !== undefined) (this.#exemplars ??= new Map()).set(i, { value, of: exemplar });
  }

  print(name: string, labels: readonly (readonly [string, string])[], as: Exposition): string {
    let text = "";
    let count = 0;
    for (const [i, bound] of [...this.#bounds, Number.POSITIVE_INFINITY].entries()) {
      count += this.#counts[i] ?? 0;
      const le = as === "openmetrics" ? printFloat(bound) : printNumber(bound);
      const exemplar = as === "openmetrics" ? this.#printExemplar(i) : "";
      text += `${name}_bucket${printLabels([...labels, ["le", le]])} ${count}${exemplar}\n`;
    }
    return `${text}${name}_sum${printLabels(labels)} ${printNumber(this.#sum)}\n${name}_count${printLabels(labels)} ${count}\n`;
  }

  #printExemplar(bucket: number): string {
    const exemplar = this.#exemplars?.get(bucket);
    if (exemplar === undefined) return "";
    const labels = printLabels(Object.entries(exemplar.of.labels));
    return ` # ${labels} ${printNumber(exemplar.value)} ${exemplar.of.atSeconds.toFixed(3)}`;
  }
}

// OpenMetrics: bounds are floats to the letter, "1.0".
function printFloat(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : printNumber(value);
}

function printLabels(labels: readonly (readonly [string, string])[]): string {
  if (labels.length === 0) return "";
  return `{${labels.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(",")}}`;
}

function printNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function escapeHelp(help: string): string {
  return help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
