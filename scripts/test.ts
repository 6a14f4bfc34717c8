/**
 * npm test [-- PATH...]: every test that can run on this machine, each file in a process of its own. Says what could not run
 * and why, and ends with the counts. PATH limits it to files whose path starts with or contains it.
 */
import { spawn } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addCounts, groupSuites, noCounts, printTable, printTotal } from "./test-suites.ts";
import type { Counts, Need, Suite } from "./test-suites.ts";
import type { TestResult } from "./test-reporter.ts";

// CI has 30 minutes, of which a first build of the API server takes up to 8.
const runTimeoutMs = 18 * 60_000;
const fileTimeoutMs = 4 * 60_000;
const shownOutputCharacters = 8_000;
const concurrency = 2;

/** What this machine lacks; undefined: nothing. */
const lackingFor: Readonly<Record<Need, () => string | undefined>> = {
  nothing: () => undefined,
  kernel: lackingForKernel,
  kube: lackingForKube,
};

/** A suite, what came of it, and seconds. */
type Row = [name: string, counts: Counts, seconds: number];

interface FileRun {
  readonly file: string;
  readonly results: readonly TestResult[];
  /** What stdout and stderr said. */
  readonly output: string;
  readonly seconds: number;
}

const root = join(import.meta.dirname, "..");
const startedAt = performance.now();
const results = mkdtempSync(join(tmpdir(), "weft-test-"));
process.on("exit", () => rmSync(results, { recursive: true, force: true }));

const filters = process.argv.slice(2).filter((argument) => argument !== "--");
const files = globSync("{proto,controlplane,nodeagent,cli,integration,scripts}/**/*.test.ts", {
  cwd: root,
  exclude: (name) => name.includes("node_modules"),
}).filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter.replace(/^\.\//, ""))));

const failures: FileRun[] = [];
const skips = new Map<string, string[]>();
const suites = groupSuites(files);
const rows = await runSuites(suites.filter((suite) => !suite.isSerial));
// Tests of the kernel and those of the API server share nothing, and each waits a lot.
const serial = [
  ...Map.groupBy(
    suites.filter((suite) => suite.isSerial),
    ({ need }) => need,
  ).values(),
];
rows.push(...(await Promise.all(serial.map(runSuites))).flat());

for (const { file, results: ofFile, output } of failures) {
  for (const { name, outcome, reason } of ofFile) {
    if (outcome === "failed") console.log(`\nFAILED ${file}\n  ${name}\n${indent(reason)}`);
  }
  if (output.trim() !== "") console.log(`  output of ${file}:\n${indent(output.slice(-shownOutputCharacters))}`);
}
if (skips.size > 0) {
  console.log("\nskipped:");
  for (const [reason, names] of skips)
    console.log(`  ${reason}: ${names.length} (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""})`);
}
const total = rows.map(([, counts]) => counts).reduce(addCounts, noCounts);
const seconds = (performance.now() - startedAt) / 1_000;
console.log(`\n${printTable([...rows, ["all", total, seconds]])}\n`);
if (total.passed + total.failed === 0) console.log("no test ran");
console.log(printTotal(total));
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

async function runSuites(inOrder: readonly Suite[]): Promise<Row[]> {
  const rowsOf: Row[] = [];
  for (const suite of inOrder) rowsOf.push(await runSuite(suite));
  return rowsOf;
}

async function runSuite(suite: Suite): Promise<Row> {
  const from = performance.now();
  let counts = noCounts;
  const lacking = lackingFor[suite.need]();
  if (lacking === undefined) {
    const queue = [...suite.files];
    const worker = async (): Promise<void> => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        // Two steps: `counts` must be read after the wait.
        const counted = report(await runFile(file));
        counts = addCounts(counts, counted);
      }
    };
    await Promise.all(Array.from({ length: suite.isSerial ? 1 : concurrency }, worker));
  } else {
    for (const file of suite.files) noteSkip(lacking, file);
    console.log(`skipped ${suite.name}: ${lacking}; its ${suite.files.length} files count as skipped tests`);
    counts = { ...noCounts, skipped: suite.files.length };
  }
  return [suite.name, counts, (performance.now() - from) / 1_000];
}

function report(run: FileRun): Counts {
  const count = (outcome: TestResult["outcome"]): number =>
    run.results.filter((result) => result.outcome === outcome).length;
  const counts: Counts = { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
  for (const { name, outcome, reason } of run.results) {
    if (outcome === "skipped") noteSkip(reason === "" ? "without a reason" : reason, `${run.file}: ${name}`);
  }
  if (counts.failed > 0) failures.push(run);
  console.log(`${counts.failed > 0 ? "FAIL" : "ok  "} ${run.file}  ${printTotal(counts)}  ${run.seconds.toFixed(1)}s`);
  return counts;
}

// Its own process group, so that nothing that a test started outlives it.
function runFile(file: string): Promise<FileRun> {
  const from = performance.now();
  const resultsFile = join(results, file.replaceAll("/", "_"));
  const reporter = join(import.meta.dirname, "test-reporter.ts");
  const leftMs = runTimeoutMs - (from - startedAt);
  const timeoutMs = Math.min(fileTimeoutMs, Math.max(1, leftMs));
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [`--test-reporter=${reporter}`, `--test-reporter-destination=${resultsFile}`, join(root, file)],
      { cwd: root, detached: true, stdio: ["ignore", "pipe", "pipe"] },
    );
    let output = "";
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4 * shownOutputCharacters);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      killGroup(child.pid);
    }, timeoutMs);
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      killGroup(child.pid);
      const found = readResults(resultsFile);
      const problem = problemOf(found, code, signal, isLate ? timeoutMs : undefined);
      const all =
        problem === undefined ? found : [...found, { name: "(the file)", outcome: "failed" as const, reason: problem }];
      resolve({ file, results: all, output, seconds: (performance.now() - from) / 1_000 });
    });
  });
}

function problemOf(
  found: readonly TestResult[],
  code: number | null,
  signal: string | null,
  lateAfterMs: number | undefined,
): string | undefined {
  if (lateAfterMs !== undefined) return `was still running after ${Math.round(lateAfterMs / 1_000)} s and was killed`;
  if (found.some(({ outcome }) => outcome === "failed")) return undefined;
  if (code !== 0) return `ended with ${signal ?? `code ${code}`} although no test failed`;
  return found.length === 0 ? "has no test" : undefined;
}

function readResults(file: string): readonly TestResult[] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as TestResult);
  } catch {
    return [];
  }
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // Nothing of the group is left.
  }
}

function noteSkip(reason: string, name: string): void {
  const names = skips.get(reason);
  if (names === undefined) skips.set(reason, [name]);
  else names.push(name);
}

function lackingForKube(): string | undefined {
  return existsSync(join(root, ".weft/kube/api-server"))
    ? undefined
    : "no API server to test against: run 'npm run kube:build' (needs Go >= 1.26)";
}

function lackingForKernel(): string | undefined {
  if (process.getuid?.() !== 0) return "not root";
  const capabilities = BigInt(
    `0x${/^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`,
  );
  for (const [bit, name] of [
    [12n, "CAP_NET_ADMIN"],
    [21n, "CAP_SYS_ADMIN"],
  ] as const) {
    if ((capabilities & (1n << bit)) === 0n) return `no ${name}`;
  }
  try {
    readFileSync("/sys/kernel/btf/vmlinux").subarray(0, 1);
  } catch {
    return "the kernel has no BTF (/sys/kernel/btf/vmlinux)";
  }
  return undefined;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
