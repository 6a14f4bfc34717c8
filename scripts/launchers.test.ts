import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";

// A repository of its own in a folder with blanks: the launcher, a main.ts that says what it was given, and a "Node" that is a
// script which says its name.
const folder = mkdtempSync(join(tmpdir(), "weft launcher "));
after(() => rmSync(folder, { recursive: true }));
const bin = join(folder, "repo", "cli", "bin");
const modules = join(folder, "repo", "node_modules", ".bin");
const path = join(folder, "path");
for (const made of [bin, modules, path]) mkdirSync(made, { recursive: true });
const programs = ["weft", "weft-agent", "weft-controlplane"];
for (const program of programs) {
  copyFileSync(join(import.meta.dirname, "..", "cli", "bin", "weft"), join(bin, program));
  chmodSync(join(bin, program), 0o755);
  symlinkSync(join("..", "repo", "cli", "bin", program), join(path, program));
}
writeFileSync(
  join(folder, "repo", "cli", "main.ts"),
  "const given: string[] = process.argv.slice(2);\nconsole.log(JSON.stringify([process.pid, ...given]));\n",
);

// A Node of this version that only says which one it is, and which flags it was given.
function standIn(at: string, version: string): void {
  rmSync(at, { force: true });
  const flags = 'for flag; do case $flag in --*) echo "$flag" ;; *) break ;; esac; done';
  writeFileSync(at, `#!/bin/sh\n[ "$1" = --version ] && echo ${version} && exit\necho "ran ${version}"\n${flags}\n`);
  chmodSync(at, 0o755);
}

const runWith = (env: Readonly<Record<string, string>>, ...args: readonly string[]) =>
  spawnSync("weft", args, { cwd: folder, encoding: "utf8", env: { PATH: `${path}:/usr/bin:/bin`, ...env } });
const run = (...args: readonly string[]) => runWith({}, ...args);

describe("a launcher, through a link, from a folder with blanks", () => {
  test("becomes the pinned Node and passes arguments as they are", () => {
    rmSync(join(modules, "node"), { force: true });
    symlinkSync(process.execPath, join(modules, "node"));
    standIn(join(path, "node"), "v20.20.2");
    const done = run("plan", "--node", "a b", "", "*");
    assert.equal(done.stderr, "");
    assert.deepEqual(JSON.parse(done.stdout), [done.pid, "plan", "--node", "a b", "", "*"]);
  });

  const cache = join(folder, "repo", "node_modules", ".cache");

  test("keeps compiled code beside what it was compiled from, and changes nothing where that is impossible", () => {
    rmSync(join(modules, "node"), { force: true });
    symlinkSync(process.execPath, join(modules, "node"));
    rmSync(cache, { recursive: true, force: true });
    run("plan");
    assert.equal(existsSync(join(cache, "weft")), true);
    rmSync(cache, { recursive: true });
    writeFileSync(cache, "no folder");
    const done = run("plan");
    assert.deepEqual([done.stderr, done.status], ["", 0]);
    rmSync(cache);
  });

  test("leaves the place of compiled code to who sets NODE_COMPILE_CACHE", () => {
    runWith({ NODE_COMPILE_CACHE: join(folder, "elsewhere") }, "plan");
    assert.deepEqual([existsSync(cache), existsSync(join(folder, "elsewhere"))], [false, true]);
  });

  test("takes the Node of PATH if none is pinned", () => {
    rmSync(join(modules, "node"), { force: true });
    standIn(join(path, "node"), "v24.0.0");
    assert.match(run("plan").stdout, /^ran v24.0.0\n/);
  });

  const known = ["--disable-warning=DEP0123"];
  const flagged = [
    { command: ["weft", "plan", "--tls-cert", "a.crt"], flags: [] },
    { command: ["weft-agent", "run"], flags: ["--no-allocation-site-pretenuring"] },
    { command: ["weft-controlplane", "--insecure"], flags: [] },
    { command: ["weft-controlplane", "--tls-cert", "a.crt"], flags: ["--external-memory-accounted-in-global-limit"] },
  ];
  for (const { command, flags } of flagged) {
    const [program = "", ...args] = command;
    test(`\`${command.join(" ")}\` gives flags of V8 to the pinned major only`, () => {
      rmSync(join(modules, "node"), { force: true });
      const given = (version: string): readonly string[] => {
        standIn(join(path, "node"), version);
        const done = spawnSync(program, args, { encoding: "utf8", env: { PATH: `${path}:/usr/bin:/bin` } });
        return done.stdout.split("\n").slice(1, -1);
      };
      assert.deepEqual(given("v24.0.0"), [...known, ...flags]);
      assert.deepEqual(given("v26.1.0"), known);
      // This one must know them, too.
      const { status } = spawnSync(process.execPath, [...known, ...flags, "--eval", ""]);
      assert.equal(status, 0);
    });
  }

  for (const version of ["v20.20.2", "v22.19.0"]) {
    test(`refuses Node ${version} in one line with a remedy`, () => {
      rmSync(join(modules, "node"), { force: true });
      standIn(join(path, "node"), version);
      const done = run("plan");
      assert.equal(done.status, 1);
      assert.match(
        done.stderr,
        new RegExp(`^weft: \\S.*node is ${version}; run 'npm ci' in .*repo, or install Node 24 or newer\\n$`),
      );
    });
  }
});
