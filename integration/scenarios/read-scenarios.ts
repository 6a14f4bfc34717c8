/** The scenarios of this folder. */
import fs from "node:fs";
import path from "node:path";
import { parseScenario } from "./scenario.ts";
import type { Scenario } from "./scenario.ts";

/** @throws Error naming the file and line of one that cannot be read. */
export function readScenarios(): readonly { readonly file: string; readonly scenario: Scenario }[] {
  const files = fs.readdirSync(import.meta.dirname).filter((name) => name.endsWith(".scenario.md"));
  return files.toSorted().map((file) => {
    try {
      return { file, scenario: parseScenario(fs.readFileSync(path.join(import.meta.dirname, file), "utf8")) };
    } catch (error) {
      throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  });
}
