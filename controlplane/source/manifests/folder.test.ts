import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { RecordChange } from "../source.ts";
import { compareUtf8, Folder } from "./folder.ts";
import type { FileReading, FolderChange } from "./folder.ts";
import { readObjects } from "./read-objects.ts";
import { fileRefusal, printRefusal } from "./refusal.ts";

const service = (name: string, port: unknown = 80): unknown => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { clusterIP: "172.30.0.1", ports: [{ port }] },
});
const headless = (name: string): unknown => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { clusterIP: "None" },
});
const node = (name: string): unknown => ({ apiVersion: "v1", kind: "Node", metadata: { name } });

const gone: FileReading = { kind: "gone" };
const garbage = (file: string): FileReading => ({ kind: "unreadable", refusal: fileRefusal(file, 3, "is not YAML") });
const read = (file: string, ...documents: readonly unknown[]): FileReading => ({
  kind: "read",
  ...readObjects(file, documents),
});

function update(folder: Folder, files: Readonly<Record<string, FileReading>>): FolderChange {
  return folder.update(new Map(Object.entries(files)));
}

function said({ changes, refusals }: FolderChange): { changes: string[]; added: string[]; cleared: string[] } {
  return {
    changes: changes.map(describeChange),
    added: refusals.added.map(printRefusal),
    cleared: refusals.cleared.map(printRefusal),
  };
}

function describeChange(change: RecordChange): string {
  if (change.op === "remove") return `remove ${change.kind} ${change.name}`;
  const port = change.record.kind === "Service" ? ` ${change.record.ports[0]?.port}` : "";
  return `put ${change.record.kind} ${change.record.name}${port}`;
}

describe("what stands", () => {
  test("unchanged objects yield no change, others only theirs", () => {
    const folder = new Folder();
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", service("x"), service("y")) })).changes, [
      "put Service default/x 80",
      "put Service default/y 80",
    ]);
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", service("x"), service("y", 81)) })).changes, [
      "put Service default/y 81",
    ]);
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", service("y", 81)) })).changes, [
      "remove Service default/x",
    ]);
    assert.deepEqual(said(update(folder, { "a.yaml": gone })).changes, ["remove Service default/y"]);
  });

  test("a move from file to file in one scan is no change", () => {
    const folder = new Folder();
    update(folder, { "a.yaml": read("a.yaml", service("x")) });
    assert.deepEqual(said(update(folder, { "a.yaml": gone, "b.yaml": read("b.yaml", service("x")) })), {
      changes: [],
      added: [],
      cleared: [],
    });
  });

  test("a file that does not parse keeps its objects until it parses or is gone (S27)", () => {
    const folder = new Folder();
    update(folder, { "a.yaml": read("a.yaml", service("x")) });
    assert.deepEqual(said(update(folder, { "a.yaml": garbage("a.yaml") })), {
      changes: [],
      added: ["a.yaml:3: is not YAML"],
      cleared: [],
    });
    assert.deepEqual(said(update(folder, { "a.yaml": garbage("a.yaml") })), { changes: [], added: [], cleared: [] });
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", service("x", 81)) })), {
      changes: ["put Service default/x 81"],
      added: [],
      cleared: ["a.yaml:3: is not YAML"],
    });
    update(folder, { "a.yaml": garbage("a.yaml") });
    assert.deepEqual(said(update(folder, { "a.yaml": gone })).changes, ["remove Service default/x"]);
    assert.deepEqual(folder.refusals(), []);
  });

  test("a refused object stays as it last was while a document of it is there", () => {
    const folder = new Folder();
    const fault = "a.yaml: Service default/x: spec.ports[0].port: must be a whole number from 1 to 65535, not 0";
    update(folder, { "a.yaml": read("a.yaml", service("x"), service("y")) });
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", service("x", 0), service("y", 81)) })), {
      changes: ["put Service default/y 81"],
      added: [fault],
      cleared: [],
    });
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", service("y", 81)) })), {
      changes: ["remove Service default/x"],
      added: [],
      cleared: [fault],
    });
  });

  test("a refused object that was never good is absent", () => {
    assert.deepEqual(said(update(new Folder(), { "a.yaml": read("a.yaml", service("x", 0)) })).changes, []);
  });

  test("an object that becomes one to ignore goes, and comes back (S12)", () => {
    const folder = new Folder();
    update(folder, { "a.yaml": read("a.yaml", service("x")) });
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", headless("x")) })).changes, [
      "remove Service default/x",
    ]);
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", service("x")) })).changes, [
      "put Service default/x 80",
    ]);
  });

  test("it has nodes while a Node is there", () => {
    const folder = new Folder();
    assert.equal(folder.hasNodes, false);
    update(folder, { "a.yaml": read("a.yaml", node("n1")) });
    assert.equal(folder.hasNodes, true);
    update(folder, { "a.yaml": gone });
    assert.equal(folder.hasNodes, false);
  });
});

describe("the same object twice (S29)", () => {
  test("the first path wins, both places are named", () => {
    const folder = new Folder();
    update(folder, { "b.yaml": read("b.yaml", service("x", 82)) });
    assert.deepEqual(said(update(folder, { "a.yaml": read("a.yaml", node("n"), service("x", 81)) })), {
      changes: ["put Node n", "put Service default/x 81"],
      added: ["b.yaml: Service default/x: metadata.name: document 1 repeats a.yaml, document 2, which counts"],
      cleared: [],
    });
    const back = said(update(folder, { "a.yaml": read("a.yaml", node("n")) }));
    assert.deepEqual([back.changes, back.cleared.length], [["put Service default/x 82"], 1]);
  });

  test("in one file the first document wins", () => {
    assert.deepEqual(said(update(new Folder(), { "a.yaml": read("a.yaml", service("x", 81), service("x", 82)) })), {
      changes: ["put Service default/x 81"],
      added: ["a.yaml: Service default/x: metadata.name: document 2 repeats a.yaml, document 1, which counts"],
      cleared: [],
    });
  });

  test("paths are compared by their bytes", () => {
    const paths = ["a/b.yaml", "a-b.yaml", "B.yaml", "\u{1f600}.yaml", "\uff21.yaml", "a.yaml", "a"];
    const byBytes = paths.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual(paths.toSorted(compareUtf8), byBytes);
  });
});

test("however a folder came to be as it is, the same records stand, if nothing in it is refused", () => {
  const file = fc.constantFrom("a.yaml", "b.yaml", "c/d.yaml");
  const document = fc.oneof(
    fc.tuple(fc.constantFrom("x", "y"), fc.constantFrom(80, 81)).map(([name, port]) => service(name, port)),
    fc.constantFrom(headless("x"), node("n1")),
  );
  const content = fc.option(fc.array(document, { maxLength: 3 }), { nil: undefined });
  fc.assert(
    fc.property(fc.array(fc.dictionary(file, content, { maxKeys: 3 }), { maxLength: 6 }), (history) => {
      const folder = new Folder();
      const standing = new Map<string, readonly unknown[]>();
      const copy = new Map<string, unknown>();
      for (const files of history) {
        const readings = new Map<string, FileReading>();
        for (const [path, documents] of Object.entries(files)) {
          readings.set(path, documents === undefined ? gone : read(path, ...documents));
          if (documents === undefined) standing.delete(path);
          else standing.set(path, documents);
        }
        for (const change of folder.update(readings).changes) {
          if (change.op === "put") copy.set(`${change.record.kind} ${change.record.name}`, change.record);
          else assert.ok(copy.delete(`${change.kind} ${change.name}`));
        }
        const fresh = new Folder();
        fresh.update(new Map([...standing].toReversed().map(([path, documents]) => [path, read(path, ...documents)])));
        const sorted = (records: Iterable<unknown>): string[] =>
          [...records].map((record) => JSON.stringify(record)).toSorted();
        assert.deepEqual(sorted(folder.records()), sorted(fresh.records()));
        assert.deepEqual(sorted(copy.values()), sorted(fresh.records()));
        assert.deepEqual(folder.refusals().map(printRefusal).toSorted(), fresh.refusals().map(printRefusal).toSorted());
      }
    }),
    { numRuns: 300 },
  );
});
