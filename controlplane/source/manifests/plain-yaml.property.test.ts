import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAllDocuments, stringify } from "yaml";
import { parsePlainYaml } from "./plain-yaml.ts";
import { splitDocuments } from "./split-documents.ts";

/** What the whole parser says; undefined: it refuses, or finds more than one document. */
function byLibrary(text: string): { readonly value: unknown } | undefined {
  const documents = parseAllDocuments(text, { version: "1.2", merge: true, uniqueKeys: false, logLevel: "silent" });
  if (!Array.isArray(documents) || documents.length > 1) return undefined;
  const [only] = documents;
  if (only === undefined) return { value: null };
  return only.errors.length > 0 ? undefined : { value: only.toJS() };
}

function agrees(text: string): boolean {
  const plain = parsePlainYaml(text);
  if (plain === undefined) return false;
  const whole = byLibrary(text);
  assert.notEqual(whole, undefined, `plain YAML that the library refuses: ${JSON.stringify(text)}`);
  assert.deepEqual(plain.value, whole?.value, JSON.stringify(text));
  return true;
}

const scalar = fc.oneof(
  fc.constantFrom(
    "10.0.0.1",
    "fd00::1",
    "::1",
    "true",
    "web-1",
    "a b",
    "80",
    "1e3",
    "-.5",
    "+.1e2",
    "0x1f",
    "007",
    "null",
    "~",
    "-1",
    "-",
    "a:b",
    "a: b",
    "#x",
    "<<",
    "",
  ),
  fc.string({ maxLength: 6 }),
  fc.constantFrom("a\nb\n", "a\n\n  b", "\n", " a\nb", '{"a":"b"}\n', "a\n\n\n", 'q"\\', "a\tb", "---\nx\n", "#\n#"),
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.boolean(),
  fc.constant(null),
);
const key = fc.oneof(
  fc.constantFrom("name", "kubernetes.io/service-name", "a-b", "true", "8", "", "null", "a b", "<<"),
  fc.string({ maxLength: 4 }),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(key, tie("value"), { maxKeys: 3 }),
  ),
}));
const printed = fc
  .tuple(
    value,
    fc.record({
      indentSeq: fc.boolean(),
      indent: fc.constantFrom(2, 4),
      collectionStyle: fc.constantFrom("any" as const, "flow" as const),
    }),
  )
  .map(([of, options]) => stringify(of, { ...options, version: "1.2", lineWidth: 0 }));

test("what it reads of printed values is what the whole parser reads", () => {
  fc.assert(
    fc.property(printed, (text) => void agrees(text)),
    { numRuns: 2_000 },
  );
});

test("a tab within quotes and escapes is left to the whole parser", () => {
  assert.equal(parsePlainYaml('- "\\\\\t"\n'), undefined);
});

test("what it reads of damaged text is what the whole parser reads", () => {
  const piece = fc.constantFrom(
    ..."- : # \n [ ] { } , ' \" & * ! | > ? % @ a 1 . ~ \t \\ --- ... é \u00a0 \u2028 - a: ]: : [] {}".split(" "),
    " ",
    "  ",
    "\n  ",
    "\n- ",
    ": ",
    "- - ",
  );
  const damage = fc.array(fc.tuple(fc.nat(), piece, fc.nat({ max: 2 })), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(printed, damage, (text, cuts) => {
      let damaged = text;
      for (const [at, insert, drop] of cuts) {
        const i = at % (damaged.length + 1);
        damaged = damaged.slice(0, i) + insert + damaged.slice(i + drop);
      }
      // As in the reader of manifests: it only sees documents without their marks.
      for (const document of splitDocuments(damaged) ?? []) agrees(document.text);
    }),
    { numRuns: 5_000 },
  );
});

test("what it reads of random pieces is what the whole parser reads", () => {
  const piece = fc.constantFrom(
    "a",
    "b",
    "- ",
    "-",
    ": ",
    ":",
    "\n",
    "  ",
    " ",
    "1",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    ", ",
    ",",
    "#",
    "~",
    "a: ",
    "\n  ",
    "\n- ",
    "|",
    "|-",
    "\n\n",
    "\\",
    ".",
    "<<",
    "? ",
    "e",
    "x",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
      for (const document of splitDocuments(pieces.join("")) ?? []) agrees(document.text);
    }),
    { numRuns: 10_000 },
  );
});

const manifests: readonly string[] = [
  "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels: {app: x}\nspec:\n  clusterIP: 172.30.0.1\n  ports:\n  - name: http\n    port: 80\n",
  "# a comment\nkind: EndpointSlice\nendpoints:\n- addresses:\n  - 10.0.0.1\n  conditions: {ready: true, serving: false}\n- addresses: [10.0.0.2]\n  hints:\n    forZones:\n    - name: z1\n",
  'metadata:\n  labels:\n    "kubernetes.io/service-name": "web"\n    topology.kubernetes.io/zone: \'z 1\'\nendpoints:\n  - {addresses: ["fd00::1"], conditions: {ready: true}, nodeName: n1}\n  -\n    addresses:\n      - fd00::2\n',
  'metadata:\n  annotations:\n    last-applied: |\n      {"a":"b\\n"}\n\n      x\n    note: |-\n      # no comment\n        y\n\n  name: "a \\"b\\""\n',
  "status:\n  addresses:\n  - {type: InternalIP, address: 192.168.0.1}\n  - address: fd00::a\n    type: InternalIP\nspec: {}\nlist: []\n",
];
for (const [i, text] of manifests.entries()) {
  test(`common manifests are read fast: ${i + 1}`, () => assert.ok(agrees(text)));
}

// Found by the properties above.
for (const text of ["a: -.10000000\n", "a:\n- +.5\n"]) {
  test(`read alike: ${JSON.stringify(text)}`, () => void agrees(text));
}
