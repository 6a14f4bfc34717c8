/** A node:test reporter that writes one JSON object per test for scripts/test.ts. */
import type { TestEvent } from "node:test/reporters";
import { inspect } from "node:util";

export interface TestResult {
  /** The names of the suites around it and its own. */
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it failed or was skipped; "": nothing was said. */
  readonly reason: string;
}

// node:test takes a reporter only as a default export.
// oxlint-disable-next-line import/no-default-export
export default async function* reporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const names: string[] = [];
  for await (const event of source) {
    if (event.type === "test:start") names.splice(event.data.nesting, Number.POSITIVE_INFINITY, event.data.name);
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { details, nesting, name, skip, todo } = event.data;
    const error = "error" in details ? details.error : undefined;
    // A suite fails with its tests; on its own it fails only if its body or a hook throws.
    if (details.type === "suite" && (error === undefined || isOfSubtests(error))) continue;
    const path = [...names.slice(0, nesting), name].join(" > ");
    yield `${JSON.stringify(resultOf(path, error, skip ?? todo))}\n`;
  }
}

function resultOf(name: string, error: Error | undefined, notRun: string | boolean | undefined): TestResult {
  if (notRun !== undefined && notRun !== false) {
    return { name, outcome: "skipped", reason: typeof notRun === "string" ? notRun : "" };
  }
  if (error === undefined) return { name, outcome: "passed", reason: "" };
  return { name, outcome: "failed", reason: inspect(error.cause ?? error, { colors: false }) };
}

function isOfSubtests(error: Error): boolean {
  return "failureType" in error && error.failureType === "subtestsFailed";
}
