import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { errnoOf } from "./errno.ts";
import { makeFolder } from "./make-folder.ts";

test("makes what is missing, and is content with what is there", () => {
  const base = mkdtempSync(join(tmpdir(), "weft-make-folder-"));
  try {
    makeFolder(join(base, "a", "b"), 0o700);
    makeFolder(join(base, "a", "b"), 0o700);
    assert.equal(statSync(join(base, "a", "b")).mode & 0o777, 0o700);
    writeFileSync(join(base, "file"), "");
    assert.throws(
      () => makeFolder(join(base, "file"), 0o700),
      (error) => errnoOf(error) === "EEXIST",
    );
    assert.throws(
      () => makeFolder(join(base, "file", "below"), 0o700),
      (error) => errnoOf(error) === "ENOTDIR",
    );
  } finally {
    rmSync(base, { recursive: true });
  }
});

test("ends where a file system refuses new folders with ENOENT", () => {
  assert.throws(
    () => makeFolder("/proc/weft/state", 0o700),
    (error) => errnoOf(error) === "ENOENT",
  );
});
