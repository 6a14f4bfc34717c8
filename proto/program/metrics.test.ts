import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Metrics } from "./metrics.ts";
import { addProcessMetrics } from "./process-metrics.ts";

interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Map<string, number>;
}

// Reads the text format by its specification, character by character, knowing nothing of the writer.
function readExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let help = "";
  let current: Family | undefined;
  let currentName = "";
  assert.ok(text === "" || text.endsWith("\n"));
  for (const line of text.split("\n").slice(0, -1)) {
    const [, keyword, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === "HELP") help = rest;
    else if (keyword === "TYPE") {
      assert.ok(!families.has(name), `${name} twice`);
      currentName = name;
      current = { type: rest, help, samples: new Map() };
      families.set(name, current);
    } else {
      const { name: sample, labels, value } = readSample(line);
      assert.ok(
        current !== undefined &&
          [currentName, `${currentName}_bucket`, `${currentName}_sum`, `${currentName}_count`].includes(sample),
        line,
      );
      const key = `${sample}${labels.map(([label, of]) => ` ${label}=${of}`).join("")}`;
      assert.ok(!current.samples.has(key), `${key} twice`);
      current.samples.set(key, value);
    }
  }
  return families;
}

function readSample(line: string): {
  readonly name: string;
  readonly labels: [string, string][];
  readonly value: number;
} {
  let at = 0;
  const until = (stop: RegExp): string => {
    const from = at;
    while (at < line.length && !stop.test(line[at] ?? "")) at++;
    return line.slice(from, at);
  };
  const name = until(/[{ ]/);
  const labels: [string, string][] = [];
  if (line[at] === "{") {
    at++;
    while (line[at] !== "}") {
      const label = until(/=/);
      assert.equal(line.slice(at, at + 2), '="');
      at += 2;
      let value = "";
      for (; line[at] !== '"'; at++) {
        assert.ok(at < line.length, `open quote: ${line}`);
        if (line[at] === "\\")
          value += { n: "\n", "\\": "\\", '"': '"' }[line[++at] ?? ""] ?? assert.fail(`bad escape: ${line}`);
        else value += line[at];
      }
      at++;
      labels.push([label, value]);
      if (line[at] === ",") at++;
    }
    at++;
  }
  assert.equal(line[at], " ");
  const text = line.slice(at + 1);
  const value = text === "+Inf" ? Number.POSITIVE_INFINITY : Number(text);
  assert.match(text, /^(\+Inf|-Inf|NaN|-?[\d.]+(e[+-]?\d+)?)$/);
  return { name, labels, value };
}

const samplesOf = (metrics: Metrics, name: string): object =>
  Object.fromEntries(readExposition(metrics.print()).get(name)?.samples ?? []);

describe("metrics", () => {
  test("counters and gauges are printed with help and type", () => {
    const metrics = new Metrics();
    metrics.counter({ name: "weft_acks_total", help: "Acks, of \\ all\nkinds." }).inc();
    metrics.gauge({ name: "weft_streams", help: "Open streams." }).set(2.5);
    const families = readExposition(metrics.print());
    assert.deepEqual(families.get("weft_acks_total"), {
      type: "counter",
      help: String.raw`Acks, of \\ all\nkinds.`,
      samples: new Map([["weft_acks_total", 1]]),
    });
    assert.equal(families.get("weft_streams")?.type, "gauge");
    assert.deepEqual(samplesOf(metrics, "weft_streams"), { weft_streams: 2.5 });
  });

  test("label values survive quotes, backslashes, newlines and commas", () => {
    const metrics = new Metrics();
    const family = metrics.counterWith({ name: "weft_refused_total", help: "Refused." }, ["reason", "peer"]);
    family.with('a"b\\c\nd,e="}', "").inc(3);
    family.with("ü", "x").inc();
    assert.deepEqual(samplesOf(metrics, "weft_refused_total"), {
      'weft_refused_total reason=a"b\\c\nd,e="} peer=': 3,
      "weft_refused_total reason=ü peer=x": 1,
    });
  });

  test("histograms are cumulative, with +Inf, sum and count; a value on a bound belongs to it", () => {
    const metrics = new Metrics();
    const family = metrics.histogramWith({ name: "weft_apply_seconds", help: "Apply." }, ["node"], [0.1, 1]);
    for (const value of [0.05, 0.1, 0.5, 1, 7]) family.with("n1").observe(value);
    assert.deepEqual(samplesOf(metrics, "weft_apply_seconds"), {
      "weft_apply_seconds_bucket node=n1 le=0.1": 2,
      "weft_apply_seconds_bucket node=n1 le=1": 4,
      "weft_apply_seconds_bucket node=n1 le=+Inf": 5,
      "weft_apply_seconds_sum node=n1": 8.65,
      "weft_apply_seconds_count node=n1": 5,
    });
  });

  test("a bound child is the same series as asking again, and removing it drops it", () => {
    const metrics = new Metrics();
    const family = metrics.gaugeWith({ name: "weft_lag", help: "Lag." }, ["node"]);
    const child = family.with("n1");
    child.set(1);
    family.with("n1").inc(2);
    assert.deepEqual(samplesOf(metrics, "weft_lag"), { "weft_lag node=n1": 3 });
    family.remove("n1");
    assert.deepEqual(samplesOf(metrics, "weft_lag"), {});
  });

  test("series are bounded, and what is past the limit is counted", () => {
    const metrics = new Metrics();
    const family = metrics.counterWith({ name: "weft_by_node_total", help: "By node." }, ["node"], 2);
    for (const node of ["a", "b", "c", "d", "a"]) family.with(node).inc();
    assert.deepEqual(samplesOf(metrics, "weft_by_node_total"), {
      "weft_by_node_total node=a": 2,
      "weft_by_node_total node=b": 1,
    });
    assert.deepEqual(samplesOf(metrics, "weft_metrics_series_overflow_total"), {
      "weft_metrics_series_overflow_total metric=weft_by_node_total": 2,
    });
  });

  test("observed metrics are read when printed, and one that throws hides no other", () => {
    const metrics = new Metrics();
    let value = 1;
    metrics.observed("gauge", { name: "weft_broken", help: "Broken." }, () => {
      throw new Error("away");
    });
    metrics.observed("gauge", { name: "weft_head", help: "Head." }, () => value);
    metrics.observed("gauge", { name: "weft_limit", help: "Limits." }, () => [
      { labels: { name: "backends" }, value: 7 },
    ]);
    value = 2;
    assert.deepEqual(samplesOf(metrics, "weft_head"), { weft_head: 2 });
    assert.deepEqual(samplesOf(metrics, "weft_limit"), { "weft_limit name=backends": 7 });
    assert.ok(!metrics.print().includes("weft_broken"));
  });

  test("of the process are there and plausible", () => {
    const metrics = new Metrics();
    addProcessMetrics(metrics, "weft-test");
    const [rss] = Object.values(samplesOf(metrics, "process_resident_memory_bytes"));
    const [start] = Object.values(samplesOf(metrics, "process_start_time_seconds"));
    assert.ok(rss > 10e6 && rss < 2e9);
    assert.ok(Math.abs(start - Date.now() / 1_000) < 600);
    assert.match(metrics.print(), /weft_build_info\{program="weft-test",version="\d+\.\d+\.\d+"/);
  });

  test("wrong names, labels, bounds and repeats are faults of the program", () => {
    const metrics = new Metrics();
    const described = { name: "weft_x_total", help: "X." };
    metrics.counter(described);
    assert.throws(() => metrics.counter(described), /exists already/);
    // One family of OpenMetrics.
    assert.throws(() => metrics.gauge({ name: "weft_x", help: "" }), /exists already, as weft_x_total/);
    assert.throws(() => metrics.counter({ name: "weft_y", help: "" }), /_total/);
    assert.throws(() => metrics.gauge({ name: "weft-y", help: "" }), /not a metric name/);
    assert.throws(() => metrics.gaugeWith({ name: "weft_z", help: "" }, ["le"]), /cannot have a label/);
    assert.throws(() => metrics.gaugeWith({ name: "weft_w", help: "" }, ["node"]).with(), /need a value each/);
    assert.throws(() => metrics.histogram({ name: "weft_h", help: "" }, [1, 1]), /must ascend/);
  });
});

test("OpenMetrics, for those who ask: counters by family, bounds as floats, exemplars, and an end", () => {
  const metrics = new Metrics();
  metrics.counter({ name: "a_total", help: "As." }).inc(2);
  metrics.observed("counter", { name: "b_total", help: "Bs." }, () => 3);
  const seconds = metrics.histogram({ name: "c_seconds", help: "Cs." }, [0.5, 1]);
  seconds.observe(0.1, { labels: { revision: "6" }, atSeconds: 10 });
  seconds.observe(0.25, { labels: { trace_id: "ab" }, atSeconds: 12.5 });
  seconds.observe(7, { labels: { revision: "8" }, atSeconds: 13 });
  seconds.observe(0.75);
  const lines = metrics.print("openmetrics").split("\n");
  assert.deepEqual(lines.slice(lines.indexOf("# HELP a As.")), [
    "# HELP a As.",
    "# TYPE a counter",
    "a_total 2",
    "# HELP b Bs.",
    "# TYPE b counter",
    "b_total 3",
    "# HELP c_seconds Cs.",
    "# TYPE c_seconds histogram",
    'c_seconds_bucket{le="0.5"} 2 # {trace_id="ab"} 0.25 12.500',
    'c_seconds_bucket{le="1.0"} 3',
    'c_seconds_bucket{le="+Inf"} 4 # {revision="8"} 7 13.000',
    "c_seconds_sum 8.1",
    "c_seconds_count 4",
    "# EOF",
    "",
  ]);
  assert.ok(!metrics.print().includes("# {"), "the text format knows no exemplars");
  assert.throws(() => metrics.observed("counter", { name: "d", help: "" }, () => 0), /must end in _total/);
});

for (const [accept, as] of [
  [undefined, "text"],
  ["*/*", "text"],
  ["text/plain;version=0.0.4", "text"],
  ["application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "openmetrics"],
] as const) {
  test(`an Accept of ${accept} is answered by ${as}`, () => assert.equal(Metrics.accepted(accept), as));
}
