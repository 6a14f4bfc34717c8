import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseManifest } from "./parse-manifest.ts";
import { readObjects } from "./read-objects.ts";
import { printRefusal } from "./refusal.ts";

const parse = (text: string, isJson = false): ReturnType<typeof parseManifest> =>
  parseManifest(new TextEncoder().encode(text), isJson);

const readable: readonly { name: string; text: string; isJson?: boolean; documents: readonly unknown[] }[] = [
  { name: "nothing", text: "", documents: [null] },
  { name: "only comments", text: "# a\n\n# b\n", documents: [null] },
  { name: "one document", text: "a: 1\n", documents: [{ a: 1 }] },
  { name: "several", text: "a: 1\n---\nb: 2\n", documents: [{ a: 1 }, { b: 2 }] },
  { name: "a comment before the first mark", text: "# x\n---\na: 1\n", documents: [{ a: 1 }] },
  { name: "empty ones between", text: "---\n---\na: 1\n---\n", documents: [null, { a: 1 }, null] },
  { name: "byte order mark", text: "\ufeffa: 1\n", documents: [{ a: 1 }] },
  { name: "a lone CR, also at the end", text: "a: 1\rb: 2\r\n---\r", documents: [{ a: 1, b: 2 }, null] },
  { name: "CRLF", text: "a: 1\r\nb:\r\n- c\r\n---\r\nd: 2\r\n", documents: [{ a: 1, b: ["c"] }, { d: 2 }] },
  { name: "aliases", text: "a: &x {b: 1}\nc: *x\n", documents: [{ a: { b: 1 }, c: { b: 1 } }] },
  { name: "merge keys", text: "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n", documents: [{ a: { b: 1 }, c: { b: 1, d: 2 } }] },
  {
    name: "what is said beside a merge key counts, then the first source",
    text: "a: &x {b: 1, c: 1, d: 1}\ne: &y {c: 2, f: 2}\ng: {b: 3, <<: [*x, *y], d: 4}\n",
    documents: [{ a: { b: 1, c: 1, d: 1 }, e: { c: 2, f: 2 }, g: { b: 3, c: 1, d: 4, f: 2 } }],
  },
  {
    name: "keys that are no texts",
    text: "? 1\n: a\n? true\n: b\n? ~\n: c\n# x\n",
    documents: [{ 1: "a", true: "b", "": "c" }],
  },
  {
    name: "block scalars and comments behind values",
    text: "a: |\n  x\nb: 1 # one\n",
    documents: [{ a: "x\n", b: 1 }],
  },
  { name: "directives and end marks", text: "%YAML 1.2\n---\na: 1\n...\n---\nb: 2\n", documents: [{ a: 1 }, { b: 2 }] },
  { name: "JSON in YAML", text: '{"a": [1, "x"]}\n---\n{"b": null}\n', documents: [{ a: [1, "x"] }, { b: null }] },
  { name: "flow style that is not JSON", text: "{a: [1, x]}\n", documents: [{ a: [1, "x"] }] },
  { name: "JSON", text: '{"a": 1}', isJson: true, documents: [{ a: 1 }] },
  {
    name: "an own key of a prototype's name",
    text: '{"__proto__": 1}',
    isJson: true,
    documents: [JSON.parse('{"__proto__": 1}')],
  },
];

describe("readable manifests (S27)", () => {
  for (const { name, text, isJson, documents } of readable) {
    test(name, () => assert.deepEqual(parse(text, isJson), { kind: "parsed", documents }));
  }
});

const unreadable: readonly {
  name: string;
  bytes: string | Uint8Array;
  isJson?: boolean;
  line: number | undefined;
  message: RegExp;
}[] = [
  { name: "a syntax error", bytes: "a: 1\nb: [\n", line: 3, message: /is not YAML/ },
  {
    name: "a syntax error in a later document",
    bytes: "a: 1\n---\nb: 2\n---\nc: 3\nd: 'x\n",
    line: 7,
    message: /is not YAML/,
  },
  { name: "an unknown alias", bytes: "a: 1\nb: *nobody\n", line: 2, message: /nobody/ },
  { name: "a tab as indentation", bytes: "a:\n\tb: 1\n", line: 2, message: /is not YAML/ },
  { name: "JSON with a comma too many", bytes: '{\n"a": 1,\n}', isJson: true, line: 3, message: /is not JSON/ },
  { name: "JSON with nothing", bytes: "", isJson: true, line: undefined, message: /is not JSON/ },
  {
    name: "bytes that are not UTF-8",
    bytes: Uint8Array.of(0x61, 0x3a, 0x20, 0xff, 0xfe),
    line: undefined,
    message: /UTF-8/,
  },
  { name: "binary", bytes: "a: 1\nb: \0\n", line: 2, message: /control character/ },
  { name: "deep JSON", bytes: "[".repeat(1_000_000), isJson: true, line: 1, message: /deep/ },
  { name: "deep JSON in YAML", bytes: "[".repeat(1_000_000), line: 1, message: /deep/ },
  { name: "deep flow style", bytes: `a: ${"[".repeat(100_000)}`, line: 1, message: /deep/ },
  { name: "deep blocks", bytes: "- ".repeat(100_000), line: 1, message: /deep/ },
  {
    name: "deep mappings",
    bytes: Array.from({ length: 2_000 }, (_, i) => `${" ".repeat(i)}a:\n`).join(""),
    line: 64,
    message: /deep/,
  },
  {
    name: "elaborate YAML without end",
    bytes: "a: &x 1\n".repeat(600_000),
    line: 166_667,
    message: /parts of elaborate/,
  },
  {
    name: "merges of merges",
    bytes: `a: &a {${Array.from({ length: 2_000 }, (_, i) => `k${i}: 1`).join(", ")}}\nb:\n${"- {<<: *a}\n".repeat(2_000)}`,
    line: 503,
    message: /merge keys copy more than/,
  },
  {
    name: "one long line",
    bytes: `a: ${"x y".repeat(4_000_000)}`,
    line: undefined,
    message: /characters of elaborate/,
  },
  { name: "lines without end", bytes: "-\n".repeat(7_000_000), line: undefined, message: /lines/ },
  { name: "an alias of itself", bytes: "a: &x [*x]\n", line: 1, message: /unknown anchor/ },
  { name: "a mapping as a key", bytes: "? {a: 1}\n: 2\n", line: 1, message: /key must be a text/ },
];

describe("unreadable manifests are refused with their line, in bounded time (S30)", () => {
  for (const { name, bytes, isJson, line, message } of unreadable) {
    test(name, () => {
      const parsed = parseManifest(
        typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes,
        isJson ?? false,
      );
      assert.ok(parsed.kind === "unparsable", JSON.stringify(parsed).slice(0, 100));
      assert.match(parsed.message, message);
      assert.doesNotMatch(parsed.message, /\n| {4}at /);
      assert.equal(parsed.line, line);
    });
  }
});

const service = (name: string): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {clusterIP: 172.30.0.1, ports: [{port: 80}]}}`;

function objectsOf(text: string): { names: string[]; refusals: string[] } {
  const parsed = parse(text);
  assert.ok(parsed.kind === "parsed", parsed.kind === "unparsable" ? parsed.message : "");
  const { objects, refusals } = readObjects("f.yaml", parsed.documents);
  return { names: objects.map(({ identity }) => identity.name), refusals: refusals.map(printRefusal) };
}

describe("objects of a manifest", () => {
  test("lists, also nested and typed ones, are opened", () => {
    const nested = `kind: List\napiVersion: v1\nitems:\n- ${service("a")}\n- {kind: List, apiVersion: v1, items: [${service("b")}]}\n`;
    const typed =
      "kind: ServiceList\napiVersion: v1\nitems:\n- metadata: {name: c}\n  spec: {clusterIP: 172.30.0.1, ports: [{port: 80}]}\n";
    const others = "kind: DeploymentList\napiVersion: apps/v1\nitems:\n- metadata: {name: d}\n";
    const empty = "kind: List\napiVersion: v1\nitems: null\n";
    assert.deepEqual(objectsOf([nested, typed, others, empty].join("---\n")), {
      names: ["default/a", "default/b", "default/c"],
      refusals: [],
    });
  });

  test("what has no name is named by its place", () => {
    const text = `a: 1\n---\nkind: List\napiVersion: v1\nitems:\n- ${service("a")}\n- {kind: Service, apiVersion: v1}\n---\ntext\n`;
    assert.deepEqual(objectsOf(text).refusals, [
      "f.yaml: (document 1): kind: is missing; every document needs one",
      "f.yaml: (document 1): apiVersion: is missing; every document needs one",
      "f.yaml: Service (document 2, items[1]): metadata.name: is missing",
      'f.yaml: (document 3): document: must be an object, not the string "text"',
    ]);
  });

  test("an alias bomb of lists costs no more than its text", () => {
    const lines = [`l0: &l0 {kind: List, apiVersion: v1, items: [${service("a")}]}`];
    for (let i = 1; i < 8; i++)
      lines.push(
        `l${i}: &l${i} {kind: List, apiVersion: v1, items: [${Array(9)
          .fill(`*l${i - 1}`)
          .join(", ")}]}`,
      );
    const bomb = ["kind: List", "apiVersion: v1", ...lines, "items: [*l7]"].join("\n");
    const { names, refusals } = objectsOf(bomb);
    assert.deepEqual(names, []);
    assert.match(refusals.join("\n"), /more than 8 deep|is an alias of/);
  });

  test("the billion laughs are nothing to read", () => {
    const lines = ['a0: &a0 ["x"]'];
    for (let i = 1; i < 30; i++)
      lines.push(
        `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join(", ")}]`,
      );
    assert.deepEqual(objectsOf([...lines, "kind: Other", "apiVersion: v1"].join("\n")), { names: [], refusals: [] });
  });

  test("many aliases of small values are fine", () => {
    const endpoints = Array.from(
      { length: 10_000 },
      (_, i) => `- {addresses: [10.0.${i >> 8}.${i & 255}], conditions: *c}`,
    );
    const head =
      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: a}}\naddressType: IPv4\nports: [{port: 80}]\nx: &c {ready: true}\nendpoints:\n";
    const parsed = parse(head + endpoints.join("\n"));
    assert.ok(parsed.kind === "parsed");
    const { objects, refusals } = readObjects("f.yaml", parsed.documents);
    const record = objects[0]?.record;
    assert.deepEqual(refusals, []);
    assert.ok(record?.kind === "EndpointSlice");
    assert.equal(record.endpoints.length, 10_000);
  });

  test("endpoints repeated by aliases are bounded", () => {
    const slice = (name: string): string =>
      `apiVersion: discovery.k8s.io/v1\n  kind: EndpointSlice\n  metadata: {name: ${name}, labels: {kubernetes.io/service-name: a}}\n  addressType: IPv4\n  endpoints: *e\n`;
    const endpoints = `x: &e [${Array(20_000).fill("*o").join(", ")}]`;
    const text = `o: &o {addresses: [10.0.0.1]}\n${endpoints}\nkind: List\napiVersion: v1\nitems:\n${Array.from({ length: 30 }, (_, i) => `- ${slice(`s${i}`)}`).join("")}`;
    const { names, refusals } = objectsOf(text);
    assert.equal(names.length, 25);
    assert.equal(refusals.length, 5);
    assert.match(refusals[0] ?? "", /more than 500000 endpoints/);
  });

  test("refusals of one file are bounded and counted", () => {
    const { refusals } = objectsOf("a: 1\n---\n".repeat(1_000));
    assert.equal(refusals.length, 201);
    assert.match(refusals.at(-1) ?? "", /1800 more faults/);
  });
});
