/** Builds the small C programs of benches, once per source. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const built = path.join(import.meta.dirname, "../../.weft/bench");
const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"];

/**
 * Path of the program `name`, made of the C files in `folder` and of `libraries`: ["-lssl"].
 * @throws Error with the remedy if there is no compiler, or with what it said.
 */
export function compileC(name: string, folder: string, libraries: readonly string[] = []): string {
  const files = fs.readdirSync(folder).filter((file) => /\.[ch]$/.test(file));
  const hash = createHash("sha256").update([...flags, ...libraries].join(" "));
  for (const file of files.toSorted()) hash.update(file).update(fs.readFileSync(path.join(folder, file)));
  const program = path.join(built, `${name}-${hash.digest("hex").slice(0, 12)}`);
  if (fs.existsSync(program)) return program;
  fs.mkdirSync(built, { recursive: true });
  const sources = files.filter((file) => file.endsWith(".c")).map((file) => path.join(folder, file));
  // Two benches may build at once: the name appears when the program is whole.
  const unfinished = `${program}.${process.pid}`;
  const command = [...flags, "-o", unfinished, ...sources, ...libraries];
  const { status, stderr, error } = spawnSync("gcc", command, { encoding: "utf8" });
  if (error !== undefined)
    throw new Error(`cannot build ${name}: ${error.message}; run 'sh scripts/setup.sh bench'`, { cause: error });
  if (status !== 0) throw new Error(`cannot build ${name}; does 'sh scripts/setup.sh bench' help?\n${stderr}`);
  fs.renameSync(unfinished, program);
  return program;
}
