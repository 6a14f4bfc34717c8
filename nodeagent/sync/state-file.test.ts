import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  rmdirSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { createLog, silentLog } from "@weft/proto/program/log.ts";
import { encodedBackend, encodedService } from "./described-resources.ts";
import type { EncodedResource } from "./described-resources.ts";
import { readPart } from "./received-resource.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { snapshotRetryMs, StateFile } from "./state-file.ts";
import type { StateFileOptions } from "./state-file.ts";
import type { SavedState, StateWrite } from "./state-codec.ts";
import { openStateFolder } from "./state-folder.ts";

const web = encodedService({ name: "ns/web", clusterIps: ["10.96.0.1"] });
let folder = "";
let lines: string[] = [];
const log = createLog({ logLevel: "info", logFormat: "text", write: (line) => lines.push(line) });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-state-"));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the state file", () => {
  it("gives back the last step that was appended", () => {
    using file = open().file;
    file.append(write(5, [web]));
    file.append(write(6, [backend(1)]));
    assert.deepEqual(ids(open().saved), [web.id, backend(1).id]);
    assert.equal(open().saved?.cursor?.revision, 6);
    assert.equal(statSync(join(folder, "state.weft")).mode & 0o777, 0o600);
  });

  it("cuts a torn tail, says so, and goes on behind it", () => {
    using file = open().file;
    file.append(write(5, [web]));
    appendFileSync(join(folder, "state.weft"), "torn");
    const opened = open();
    using again = opened.file;
    assert.equal(opened.saved?.cursor?.revision, 5);
    assert.match(lines.join(""), /torn or damaged.*lostBytes=4/);
    again.append(write(6, [backend(1)]));
    assert.equal(open().saved?.cursor?.revision, 6);
  });

  it("ignores and replaces what it cannot read", () => {
    writeFileSync(join(folder, "state.weft"), "something of a future version, or of somebody else");
    const { file, saved } = open();
    using replaced = file;
    assert.equal(saved, undefined);
    assert.match(lines.join(""), /ignored and will be replaced/);
    replaced.append(write(5, [web]));
    assert.equal(open().saved?.cursor?.revision, 5);
  });

  it("wants a snapshot once the journal outgrows it, and keeps what was appended meanwhile", async () => {
    using file = open().file;
    file.append(write(1, [web]));
    assert.equal(file.wantsSnapshot, false);
    for (let i = 0; !file.wantsSnapshot; i++)
      file.append(
        write(
          2 + i,
          Array.from({ length: 500 }, (_, n) => backend(n % 200)),
        ),
      );
    const before = file.bytes;
    const rewriting = file.rewrite(write(900, [web, backend(1)]));
    assert.equal(file.wantsSnapshot, false);
    file.append(write(901, [backend(2)]));
    await rewriting;
    assert.ok(file.bytes < before / 10);
    assert.equal(file.bytes, readFileSync(join(folder, "state.weft")).length);
    file.append(write(902, [backend(3)]));
    const { saved } = open();
    assert.equal(saved?.cursor?.revision, 902);
    assert.deepEqual(
      ids(saved),
      [web, backend(1), backend(2), backend(3)].map(({ id }) => id),
    );
  });

  it("is stale while the disk is full, says so once, and is whole again at the first snapshot that fits", async () => {
    let nowMs = 0;
    let room = Number.POSITIVE_INFINITY;
    const { file } = open({
      nowMs: () => nowMs,
      // A full disk takes a part of the last record, as a real one does.
      write: (fd, bytes) => {
        if (room === 0)
          throw Object.assign(new Error("ENOSPC: no space left on device, write"), {
            code: "ENOSPC",
            syscall: "write",
          });
        const fits = bytes.subarray(0, Math.min(room, bytes.length));
        room -= fits.length;
        return writeSync(fd, fits);
      },
    });
    using full = file;
    full.append(write(5, [web]));
    room = 10;
    full.append(write(6, [backend(1)]));
    full.append(write(7, [backend(2)]));
    assert.equal(full.isStale, true);
    assert.equal(lines.filter((line) => line.includes("no space left")).length, 1);
    assert.equal(open().saved?.cursor?.revision, 5);
    assert.equal(full.wantsSnapshot, false);
    nowMs += snapshotRetryMs;
    assert.equal(full.wantsSnapshot, true);
    await full.rewrite(write(7, [web, backend(1), backend(2)]));
    assert.equal(full.isStale, true);
    assert.equal(full.wantsSnapshot, false);
    nowMs += snapshotRetryMs;
    room = Number.POSITIVE_INFINITY;
    await full.rewrite(write(7, [web, backend(1), backend(2)]));
    assert.equal(full.isStale, false);
    full.append(write(8, [backend(3)]));
    assert.equal(open().saved?.cursor?.revision, 8);
    assert.equal(lines.filter((line) => line.includes("no space left")).length, 1);
  });

  it("goes on with its journal where a whole snapshot does not fit beside it", async () => {
    let nowMs = 0;
    let isFull = false;
    const noSpace = (): never => {
      // Nor can what was begun be removed.
      const begun = join(folder, "state.weft.new");
      rmSync(begun);
      mkdirSync(begun);
      throw new Error("ENOSPC: no space left on device, write");
    };
    const { file } = open({ nowMs: () => nowMs, write: (fd, bytes) => (isFull ? noSpace() : writeSync(fd, bytes)) });
    using overgrown = file;
    for (let i = 0; !file.wantsSnapshot; i++) {
      file.append(
        write(
          1 + i,
          Array.from({ length: 500 }, (_, n) => backend(n % 200)),
        ),
      );
    }
    isFull = true;
    await overgrown.rewrite(write(900, [web]));
    isFull = false;
    assert.deepEqual([overgrown.isStale, overgrown.wantsSnapshot], [false, false]);
    overgrown.append(write(901, [web]));
    assert.equal(open().saved?.cursor?.revision, 901);
    assert.match(lines.join(""), /warn cannot write the state on disk anew: ENOSPC.*free space or fix/);
    nowMs += snapshotRetryMs;
    assert.equal(overgrown.wantsSnapshot, true);
    rmdirSync(join(folder, "state.weft.new"));
    await overgrown.rewrite(write(902, [web]));
    assert.equal(open().saved?.cursor?.revision, 902);
    assert.match(lines.at(-1) ?? "", /current again/);
  });

  for (const removed of ["state.weft", "."]) {
    it(`is written again when somebody removes ${removed === "." ? "its folder" : "it"}`, async () => {
      using file = open().file;
      file.append(write(5, [web]));
      assert.equal(file.wantsSnapshot, false);
      rmSync(join(folder, removed), { recursive: true });
      assert.deepEqual([file.wantsSnapshot, file.isStale], [true, true]);
      assert.match(lines.join(""), /error cannot write the state on disk: somebody has removed it/);
      await file.rewrite(write(5, [web]));
      file.append(write(6, [backend(1)]));
      assert.equal(file.isStale, false);
      assert.deepEqual(ids(open().saved), [web.id, backend(1).id]);
    });
  }

  it("goes on without a folder that can be written", () => {
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "");
    using file = open().file;
    assert.equal(file.isStale, true);
    file.append(write(5, [web]));
  });
});

describe("the state folder", () => {
  it("is private and keeps one instance id", () => {
    const inner = join(folder, "a", "b");
    const instance = openStateFolder(inner, "n1", silentLog);
    assert.notEqual(instance, 0n);
    assert.equal(openStateFolder(inner, "n1", silentLog), instance);
    assert.equal(statSync(inner).mode & 0o777, 0o700);
    assert.equal(statSync(join(inner, "identity.json")).mode & 0o777, 0o600);
    assert.notEqual(openStateFolder(join(folder, "c"), "n1", silentLog), instance);
  });

  it("is opened again without a change, as on a file system that has become read-only", () => {
    openStateFolder(folder, "n1", silentLog);
    const { ctimeNs } = statSync(folder, { bigint: true });
    openStateFolder(folder, "n1", silentLog);
    assert.equal(statSync(folder, { bigint: true }).ctimeNs, ctimeNs);
  });

  it("is refused for another node, naming both", () => {
    openStateFolder(folder, "n1", silentLog);
    assert.throws(
      () => openStateFolder(folder, "n2", silentLog),
      (error) =>
        error instanceof ProgramError && /belongs to node n1, not n2/.test(error.message) && error.remedy !== "",
    );
  });

  it("takes a new id when the old one is damaged", () => {
    const before = openStateFolder(folder, "n1", silentLog);
    for (const damage of ["", '{"instance":"0000000000000000","node":"n1"}\n', '{"instance":"zz"']) {
      writeFileSync(join(folder, "identity.json"), damage);
      assert.notEqual(openStateFolder(folder, "n1", log), before);
    }
    assert.match(lines.join(""), /damaged/);
  });
});

function open(options: Partial<StateFileOptions> = {}): ReturnType<typeof StateFile.open> {
  return StateFile.open({ folder, log, ...options });
}

function backend(number: number): EncodedResource {
  return encodedBackend({ service: "ns/web", address: `10.1.0.${number}` });
}

function write(at: number, resources: readonly EncodedResource[]): StateWrite {
  const reading = readPart({ removed: [], resources: resources.map(({ bytes }) => bytes) });
  assert.ok(reading.kind === "part");
  const cursor = { epoch: epoch(1_000, 1), revision: revision(at) };
  return { removed: [], puts: reading.part.puts, commit: { cursor, view: undefined } };
}

function ids(saved: SavedState | undefined): readonly ResourceId[] {
  return [...(saved?.resources.keys() ?? [])];
}
