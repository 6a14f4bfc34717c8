/**
 * npm run check: everything a reviewer would check, one line per step, what went wrong below it. Runs all steps.
 *
 * `buf breaking` compares with proto/released.binpb, the protocol as released last (`npm run proto:release` after a release):
 * an image in the tree works in a shallow clone without network, where a branch to compare with does not.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

type Outcome =
  | { readonly kind: "ok" }
  | { readonly kind: "skipped"; readonly why: string }
  | { readonly kind: "failed"; readonly output: string };

// The compiler of the committed objects (Debian 12); another one gives other bytes.
const clangMajor = 14;

const root = join(import.meta.dirname, "..");
const bin = join(root, "node_modules", ".bin");
const scratch = mkdtempSync(join(tmpdir(), "weft-check-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const steps: readonly (readonly [name: string, run: () => Outcome])[] = [
  ["format", () => command("oxfmt", "--check")],
  ["lint", () => command("oxlint")],
  ["types", () => command("tsc", "-p", ".")],
  ["protocol lint", () => command("buf", "lint")],
  ["protocol breaking", () => command("buf", "breaking", "--against", "proto/released.binpb")],
  ["protocol drift", protocolDrift],
  ["bpf drift", bpfDrift],
  ["tidy", () => command(process.execPath, "--test", "scripts/tidy.test.ts")],
];

let failed = 0;
for (const [name, run] of steps) {
  const from = performance.now();
  const outcome = run();
  const seconds = ((performance.now() - from) / 1_000).toFixed(1);
  if (outcome.kind === "failed") failed++;
  const said = outcome.kind === "skipped" ? `skipped: ${outcome.why}` : outcome.kind;
  console.log(`${name.padEnd(18)} ${seconds.padStart(5)}s  ${said}`);
  if (outcome.kind === "failed") console.log(outcome.output.trimEnd().replaceAll(/^/gm, "    "));
}
console.log(failed === 0 ? "check: all good" : `check: ${failed} of ${steps.length} steps failed`);
process.exitCode = failed === 0 ? 0 : 1;

function command(name: string, ...args: readonly string[]): Outcome {
  const done = spawnSync(name, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1_024 * 1_024,
    env: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` },
  });
  if (done.error !== undefined) return { kind: "failed", output: `cannot run ${name}: ${done.error.message}` };
  return done.status === 0 ? { kind: "ok" } : { kind: "failed", output: `${done.stdout}${done.stderr}` };
}

function protocolDrift(): Outcome {
  const out = join(scratch, "gen");
  const done = command("buf", "generate", "--output", out);
  return done.kind === "ok"
    ? compareFolders(join(root, "proto/gen"), join(out, "proto/gen"), "npm run proto:generate")
    : done;
}

function bpfDrift(): Outcome {
  if (globSync("bpf/**/*.bpf.c", { cwd: root }).length === 0) return { kind: "skipped", why: "there is no BPF source" };
  const clang = spawnSync("clang", ["--version"], { encoding: "utf8" });
  const major = Number(/clang version (\d+)/.exec(clang.stdout ?? "")?.[1]);
  if (major !== clangMajor) {
    const found = Number.isNaN(major) ? "there is no clang" : `clang here is ${major}`;
    return { kind: "skipped", why: `${found}, and the objects are built by ${clangMajor}` };
  }
  const out = join(scratch, "bpf");
  const done = command("sh", "scripts/bpf-build.sh", "--out", out);
  return done.kind === "ok" ? compareFolders(join(root, "bpf/dist"), out, "npm run bpf:build") : done;
}

function compareFolders(committed: string, built: string, remedy: string): Outcome {
  const differing = [...new Set([...filesIn(committed), ...filesIn(built)])].filter((file) => {
    const [a, b] = [join(committed, file), join(built, file)];
    return !existsSync(a) || !existsSync(b) || !readFileSync(a).equals(readFileSync(b));
  });
  if (differing.length === 0) return { kind: "ok" };
  return { kind: "failed", output: `differs from its source: ${differing.join(", ")}; run '${remedy}' and commit` };
}

function filesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}
