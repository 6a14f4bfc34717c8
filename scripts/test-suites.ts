/** Which test files belong together, what each needs, and the table of what they did. */

/** What tests of a suffix need: `x.kernel.test.ts` root and BPF, `x.kube.test.ts` the API server of `npm run kube:build`. */
export type Need = "nothing" | "kernel" | "kube";

export interface Suite {
  /** "proto", "nodeagent kernel". */
  readonly name: string;
  readonly need: Need;
  /** Its files share the machine's cgroups, mounts and maps, or need much of its CPU: one at a time, also with those of other suites of its need. */
  readonly isSerial: boolean;
  readonly files: readonly string[];
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const noCounts: Counts = { passed: 0, failed: 0, skipped: 0 };

/** Suites of `files` (paths relative to the root): one per workspace and suffix, serial ones last. */
export function groupSuites(files: readonly string[]): readonly Suite[] {
  const bySuite = new Map<string, string[]>();
  for (const file of files.toSorted()) {
    const workspace = file.split("/")[0] ?? "";
    const suffix = /\.([a-z]+)\.test\.ts$/.exec(file)?.[1];
    const name = suffix === undefined ? workspace : `${workspace} ${suffix}`;
    const found = bySuite.get(name);
    if (found === undefined) bySuite.set(name, [file]);
    else found.push(file);
  }
  const suites = [...bySuite].map(([name, of]): Suite => {
    const need = needOf(name.split(" ")[1]);
    return { name, need, isSerial: need !== "nothing", files: of };
  });
  return suites.toSorted((a, b) => Number(a.isSerial) - Number(b.isSerial));
}

function needOf(suffix: string | undefined): Need {
  return suffix === "kernel" || suffix === "kube" ? suffix : "nothing";
}

export function addCounts(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/** Rows of equal width with a heading. */
export function printTable(rows: readonly (readonly [name: string, counts: Counts, seconds: number])[]): string {
  const width = Math.max(5, ...rows.map(([name]) => name.length));
  const lines = [`${"suite".padEnd(width)}  passed  failed  skipped   time`];
  for (const [name, { passed, failed, skipped }, seconds] of rows) {
    const numbers = `${String(passed).padStart(6)}  ${String(failed).padStart(6)}  ${String(skipped).padStart(7)}`;
    lines.push(`${name.padEnd(width)}  ${numbers}  ${seconds.toFixed(1).padStart(5)}s`);
  }
  return lines.join("\n");
}

/** The last line of a run, in the form that tools look for. */
export function printTotal({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
