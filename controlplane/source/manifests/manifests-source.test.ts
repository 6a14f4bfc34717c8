import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ChangeBatch, RecordChange } from "../source.ts";
import { ManifestsSource } from "./manifests-source.ts";
import { readManifests } from "./read-manifests.ts";
import { printRefusal } from "./refusal.ts";

const service = (name: string, port = 80): string =>
  `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  clusterIP: 172.30.0.1\n  ports:\n  - port: ${port}\n`;

function describeChange(change: RecordChange): string {
  if (change.op === "remove") return `remove ${change.name}`;
  return `put ${change.record.name}${change.record.kind === "Service" ? ` ${change.record.ports[0]?.port}` : ""}`;
}

/** Bounds a wait for something that must come; nothing is asserted about when. */
const waitMs = 20_000;

class Run implements AsyncDisposable {
  readonly top: string;
  readonly folder: string;
  readonly batches: ChangeBatch[] = [];
  readonly added: string[] = [];
  readonly cleared: string[] = [];
  readonly source: ManifestsSource;
  isSynced = false;
  readonly #stop = new AbortController();
  #done: Promise<void> = Promise.resolve();

  constructor(name = "manifests") {
    this.top = mkdtempSync(join(tmpdir(), "weft-manifests-"));
    this.folder = join(this.top, name);
    mkdirSync(this.folder, { recursive: true });
    this.source = new ManifestsSource({
      folder: this.folder,
      onRefusals: ({ added, cleared }) => {
        this.added.push(...added.map(printRefusal));
        this.cleared.push(...cleared.map(printRefusal));
      },
    });
  }

  start(): void {
    const sink = {
      synced: () => void (this.isSynced = true),
      changes: (batch: ChangeBatch) => void this.batches.push(batch),
    };
    this.#done = this.source.run(sink, this.#stop.signal);
  }

  async synced(): Promise<void> {
    this.start();
    await this.until(() => this.isSynced);
    this.batches.length = 0;
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.folder, path), text);
  }

  /** As editors do: write beside it, then rename. */
  replace(path: string, text: string): void {
    writeFileSync(join(this.top, "new"), text);
    renameSync(join(this.top, "new"), join(this.folder, path));
  }

  async until(isTrue: () => boolean): Promise<void> {
    for (const end = performance.now() + waitMs; !isTrue(); await delay(5)) {
      assert.ok(
        performance.now() < end,
        `still waiting: ${isTrue.toString()}; batches: ${JSON.stringify(this.said())}`,
      );
    }
  }

  /** After a change of another object has come through, all that was to come before it has. */
  async quiet(): Promise<void> {
    this.replace("zz-sentinel.yaml", service(`sentinel-${performance.now().toFixed(0)}`));
    await this.until(() =>
      this.said()
        .flat()
        .some((change) => change.startsWith("put default/sentinel-")),
    );
  }

  said(): string[][] {
    return this.batches.map((batch) => batch.changes.map(describeChange));
  }

  /** Changes of all batches but the sentinel's. */
  changes(): string[] {
    return this.said()
      .flat()
      .filter((change) => !change.includes("sentinel"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
    rmSync(this.top, { recursive: true, force: true });
  }
}

describe("at start", () => {
  test("everything is delivered as one relist, then synced", async () => {
    await using run = new Run();
    mkdirSync(join(run.folder, "b/c"), { recursive: true });
    run.write("a.yaml", service("a"));
    run.write("b/c/d.yml", service("d"));
    run.write("b/e.JSON", JSON.stringify({ apiVersion: "v1", kind: "Node", metadata: { name: "n1" } }));
    run.write(".hidden.yaml", service("hidden"));
    mkdirSync(join(run.folder, ".git"));
    run.write(".git/f.yaml", service("hidden"));
    run.write("note.txt", "not a manifest");
    run.start();
    await run.until(() => run.isSynced);
    assert.equal(run.batches.length, 1);
    assert.equal(run.batches[0]?.isRelist, true);
    assert.deepEqual(new Set(run.changes()), new Set(["put default/a 80", "put default/d 80", "put n1"]));
    assert.equal(run.source.hasNodes, true);
  });

  test("an empty folder is synced without a batch", async () => {
    await using run = new Run();
    await run.synced();
    assert.deepEqual(run.batches, []);
    assert.equal(run.source.hasNodes, false);
  });

  test("a missing folder is named, and not synced before it is there", async () => {
    await using run = new Run();
    rmSync(run.folder, { recursive: true });
    run.start();
    await run.until(() => run.added.length > 0);
    assert.match(run.added[0] ?? "", /^\.: cannot be read: no such file or directory \(ENOENT\)/);
    assert.equal(run.isSynced, false);
    mkdirSync(run.folder);
    run.write("a.yaml", service("a"));
    await run.until(() => run.isSynced && run.changes().length > 0);
    assert.deepEqual(run.changes(), ["put default/a 80"]);
    assert.equal(run.cleared.length, 1);
  });
});

describe("while running", () => {
  test("one file replaced at once is one batch", async () => {
    await using run = new Run();
    run.write("a.yaml", service("a"));
    await run.synced();
    run.replace("a.yaml", service("a", 81));
    await run.until(() => run.batches.length > 0);
    await run.quiet();
    assert.deepEqual(run.said()[0], ["put default/a 81"]);
    assert.deepEqual(run.changes(), ["put default/a 81"]);
  });

  test("a file that is rewritten in place, empty for a moment, removes nothing", async () => {
    await using run = new Run();
    run.write("a.yaml", service("a"));
    await run.synced();
    run.write("a.yaml", "");
    await delay(50);
    run.write("a.yaml", `${service("a", 81)}---\n${service("b")}`);
    await run.until(() => run.batches.length > 0);
    await run.quiet();
    assert.deepEqual(run.changes(), ["put default/a 81", "put default/b 80"]);
  });

  test("a burst over many files is one batch", async () => {
    await using run = new Run();
    for (let i = 0; i < 50; i++) run.write(`${i}.yaml`, service(`s${i}`));
    await run.synced();
    for (let i = 0; i < 50; i++) {
      if (i % 3 === 0) rmSync(join(run.folder, `${i}.yaml`));
      else if (i % 3 === 1) run.replace(`${i}.yaml`, service(`s${i}`, 81));
      else run.write(`${i}.yaml`, service(`s${i}`, 82));
    }
    await run.until(() => run.batches.length > 0);
    await run.quiet();
    assert.equal(run.said()[0]?.length, 50);
    assert.equal(run.changes().length, 50);
  });

  test("an emptied file and a deleted one take their objects along", async () => {
    await using run = new Run();
    run.write("a.yaml", service("a"));
    run.write("b.yaml", service("b"));
    await run.synced();
    run.write("a.yaml", "");
    rmSync(join(run.folder, "b.yaml"));
    await run.until(() => run.changes().length === 2);
    assert.deepEqual(new Set(run.changes()), new Set(["remove default/a", "remove default/b"]));
  });

  test("a renamed file changes nothing", async () => {
    await using run = new Run();
    run.write("a.yaml", service("a"));
    await run.synced();
    renameSync(join(run.folder, "a.yaml"), join(run.folder, "b.yaml"));
    await run.quiet();
    assert.deepEqual(run.changes(), []);
  });

  test("directories that come, are filled and go are followed", async () => {
    await using run = new Run();
    await run.synced();
    mkdirSync(join(run.folder, "x/y"), { recursive: true });
    run.write("x/y/a.yaml", service("a"));
    await run.until(() => run.changes().length === 1);
    run.write("x/y/a.yaml", service("a", 81));
    await run.until(() => run.changes().length === 2);
    rmSync(join(run.folder, "x"), { recursive: true });
    await run.until(() => run.changes().length === 3);
    assert.deepEqual(run.changes(), ["put default/a 80", "put default/a 81", "remove default/a"]);
  });

  test("a ConfigMap's swap of its data link is one batch", async () => {
    await using run = new Run();
    const version = (name: string, port: number): void => {
      mkdirSync(join(run.folder, name));
      run.write(`${name}/a.yaml`, service("a", port));
      run.write(`${name}/b.yaml`, service("b", port));
    };
    version("..1", 80);
    symlinkSync("..1", join(run.folder, "..data"));
    for (const file of ["a.yaml", "b.yaml"]) symlinkSync(`..data/${file}`, join(run.folder, file));
    await run.synced();
    version("..2", 81);
    symlinkSync("..2", join(run.folder, "..data_tmp"));
    renameSync(join(run.folder, "..data_tmp"), join(run.folder, "..data"));
    rmSync(join(run.folder, "..1"), { recursive: true });
    await run.until(() => run.batches.length > 0);
    assert.deepEqual(new Set(run.said()[0]), new Set(["put default/a 81", "put default/b 81"]));
  });

  test("links that lead in circles end", async () => {
    await using run = new Run();
    mkdirSync(join(run.folder, "x"));
    run.write("x/a.yaml", service("a"));
    symlinkSync("..", join(run.folder, "x/up"));
    symlinkSync(".", join(run.folder, "self"));
    symlinkSync("loop.yaml", join(run.folder, "loop.yaml"));
    run.start();
    await run.until(() => run.isSynced);
    assert.deepEqual(run.changes(), ["put default/a 80"]);
    assert.match(run.added.join("\n"), /^loop\.yaml: cannot be read: .*ELOOP/);
  });

  test("a file that does not parse keeps its objects and is named once", async () => {
    await using run = new Run();
    run.write("a.yaml", service("a"));
    await run.synced();
    run.write("a.yaml", `${service("a", 81)}\nx: [`);
    await run.until(() => run.added.length > 0);
    await run.quiet();
    assert.deepEqual(run.changes(), []);
    assert.deepEqual([run.added.length, run.cleared], [1, []]);
    assert.match(run.added[0] ?? "", /^a\.yaml:\d+: is not YAML/);
    run.write("a.yaml", service("a", 82));
    await run.until(() => run.changes().length > 0);
    assert.deepEqual([run.changes(), run.cleared], [["put default/a 82"], run.added]);
  });

  test("while the folder is away everything stays", async () => {
    await using run = new Run();
    run.write("a.yaml", service("a"));
    await run.synced();
    renameSync(run.folder, join(run.top, "away"));
    await run.until(() => run.added.length > 0);
    renameSync(join(run.top, "away"), run.folder);
    await run.until(() => run.cleared.length > 0);
    await run.quiet();
    assert.deepEqual(run.changes(), []);
  });

  test("a named pipe is refused, not opened", async () => {
    await using run = new Run();
    execFileSync("mkfifo", [join(run.folder, "pipe.yaml")]);
    run.write("a.yaml", service("a"));
    run.start();
    await run.until(() => run.isSynced);
    assert.deepEqual(run.changes(), ["put default/a 80"]);
    assert.match(run.added.join("\n"), /^pipe\.yaml: cannot be read: is not a regular file/);
  });

  test("a stopped run leaves no watch behind", async () => {
    const run = new Run();
    await run.synced();
    await run[Symbol.asyncDispose]();
    await run.until(() => !process.getActiveResourcesInfo().includes("FSEventWrap"));
  });
});

describe("read once", () => {
  test("a missing folder is an error that names it", async () => {
    await assert.rejects(readManifests("/nowhere/at/all"), {
      code: "folder-unreadable",
      message: /\/nowhere\/at\/all.*ENOENT/,
    });
  });

  test("100 MB of garbage is refused by its size", async () => {
    await using run = new Run();
    run.write("big.yaml", "");
    execFileSync("truncate", ["-s", "100M", join(run.folder, "big.yaml")]);
    run.write("a.yaml", service("a"));
    const { records, problems } = await readManifests(run.folder);
    assert.deepEqual(readdirSync(run.folder).length, 2);
    assert.deepEqual(
      records.map(({ name }) => name),
      ["default/a"],
    );
    assert.match(problems.map(printRefusal).join("\n"), /^big\.yaml: has 104857600 bytes/);
  });

  test("refusals of objects and problems of files are told apart", async () => {
    await using run = new Run();
    run.write("a.yaml", service("a", 0));
    run.write("b.yaml", "x: [");
    const { refusals, problems } = await readManifests(run.folder);
    assert.match(refusals.map(printRefusal).join("\n"), /^a\.yaml: Service default\/a: spec\.ports\[0\]\.port: /);
    assert.match(problems.map(printRefusal).join("\n"), /^b\.yaml:1: is not YAML/);
  });
});
