import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readManifestFile } from "./read-file.ts";

test("a pipe that took the place of a file is not waited for, nor read as an empty file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-read-file-"));
  try {
    execFileSync("mkfifo", [join(folder, "pipe.yaml")]);
    const { reading } = await readManifestFile(folder, "pipe.yaml");
    assert.equal(reading.kind, "unreadable");
    writeFileSync(join(folder, "empty.yaml"), "");
    assert.equal((await readManifestFile(folder, "empty.yaml")).reading.kind, "read");
    assert.equal((await readManifestFile(folder, "gone.yaml")).reading.kind, "gone");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
