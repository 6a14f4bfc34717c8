import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, test } from "node:test";
import { errnoOf, fromErrno } from "./errno.ts";
import { ProgramError, printProgramError } from "./errors.ts";
import { createLog } from "./log.ts";
import { suggest } from "./suggest.ts";

// Runs `body` inside runMain in a process of its own; `signals` are sent once it has printed "waiting".
async function runProgram(
  body: string,
  signals: readonly NodeJS.Signals[] = [],
): Promise<{ code: number; stdout: string; stderr: string }> {
  const source = `
    import { runMain } from ${JSON.stringify(join(import.meta.dirname, "main.ts"))};
    import { ProgramError } from ${JSON.stringify(join(import.meta.dirname, "errors.ts"))};
    import { readFileSync } from "node:fs";
    const aborted = (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve));
    const waiting = () => { setInterval(() => {}, 1000); console.log("waiting"); };
    runMain("weft-test", async (signal) => { ${body} });`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    if (stdout.includes("waiting")) for (const signal of signals) child.kill(signal);
  });
  const [code] = (await once(child, "close")) as [number];
  return { code, stdout, stderr };
}

describe("runMain", () => {
  const bodies: readonly (readonly [what: string, body: string, code: number, stderr: RegExp])[] = [
    ["a result", "return 0;", 0, /^$/],
    ["a refusal", "return 2;", 2, /^$/],
    [
      "an expected error",
      'throw new ProgramError("failed", "the map\\nis full", { remedy: "raise --backends-max" });',
      1,
      /^weft-test: the map is full; raise --backends-max\n$/,
    ],
    [
      "a wait that timed out",
      'throw new ProgramError("timed-out", "2 of 3", { remedy: "" });',
      3,
      /^weft-test: 2 of 3\n$/,
    ],
    [
      "a system error",
      'readFileSync("/nowhere/file");',
      1,
      /^weft-test: cannot open \/nowhere\/file: no such file or folder \(ENOENT\); check the path\n$/,
    ],
    [
      "a surprise",
      'throw new TypeError("x is y");',
      1,
      /^weft-test: a fault in the program, please report it: TypeError: x is y\n {4}at /,
    ],
    [
      "a rejection that nobody waits for",
      'waiting(); void Promise.reject(new TypeError("lost")); await aborted(signal);',
      1,
      /TypeError: lost/,
    ],
  ];
  for (const [what, body, code, stderr] of bodies) {
    test(`turns ${what} into exit code ${code}`, async () => {
      const done = await runProgram(body);
      assert.match(done.stderr, stderr);
      assert.equal(done.code, code);
    });
  }

  test("aborts at the first signal and lets the program end by itself", async () => {
    const done = await runProgram(
      'waiting(); await aborted(signal); console.log("ended by", signal.reason); return 0;',
      ["SIGTERM"],
    );
    assert.deepEqual(done, { code: 0, stdout: "waiting\nended by SIGTERM\n", stderr: "" });
  });

  test("exits at once at the second signal", async () => {
    const done = await runProgram("waiting(); await new Promise(() => {});", ["SIGTERM", "SIGINT"]);
    assert.ok(done.code === 130 || done.code === 143, String(done.code));
  });
});

describe("errors", () => {
  test("of the system name what was tried and what to do", () => {
    const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED", syscall: "connect" });
    const said = fromErrno(refused, "reach 10.0.0.1:7000");
    assert.ok(said instanceof ProgramError);
    assert.equal(
      printProgramError(said),
      "cannot reach 10.0.0.1:7000: connection refused (ECONNREFUSED); check the address, and that the program there runs",
    );
    assert.equal(said.cause, refused);
    assert.equal(said.exitCode, 1);
  });

  test("of the system that are rare keep their code", () => {
    const rare = Object.assign(new Error("x"), { code: "EXDEV", syscall: "rename" });
    const said = fromErrno(rare, "rename a");
    assert.equal(said instanceof ProgramError && said.message, "cannot rename a: EXDEV");
  });

  test("that are surprises stay as they are", () => {
    const surprise = new TypeError("x");
    assert.equal(fromErrno(surprise, "do it"), surprise);
    assert.equal(errnoOf(Object.assign(new Error("x"), { code: "ERR_INVALID_ARG_TYPE" })), undefined);
  });
});

describe("logs", () => {
  const logged = (format: "text" | "json", level: "debug" | "info" | "warn" | "error"): string[] => {
    const lines: string[] = [];
    const now = (): Date => new Date(Date.UTC(2026, 10, 23, 7));
    const log = createLog({ logLevel: level, logFormat: format, now, write: (line) => lines.push(line) }).with({
      node: "n1",
    });
    log.debug("quiet");
    log.info("agent connected", { controlplane: "10.0.0.1:7000", revision: 42, gone: undefined });
    log.warn("odd\nname", { name: 'a "b" c', empty: "", error: new Error("two\nlines") });
    return lines;
  };

  test("are one line per event, with quoted values", () => {
    assert.deepEqual(logged("text", "info"), [
      "2026-11-23T07:00:00.000Z info agent connected node=n1 controlplane=10.0.0.1:7000 revision=42\n",
      '2026-11-23T07:00:00.000Z warn odd name node=n1 name="a \\"b\\" c" empty="" error="two\\nlines"\n',
    ]);
  });

  test("may be JSON", () => {
    const [first] = logged("json", "info");
    assert.deepEqual(JSON.parse(first ?? ""), {
      time: "2026-11-23T07:00:00.000Z",
      level: "info",
      message: "agent connected",
      node: "n1",
      controlplane: "10.0.0.1:7000",
      revision: 42,
    });
  });

  test("leave out what is below the level", () => {
    assert.deepEqual(
      [logged("text", "debug").length, logged("text", "warn").length, logged("text", "error").length],
      [3, 1, 0],
    );
  });
});

test("suggestions are the nearest word that can have been meant", () => {
  const known = ["--manifests", "--listen", "--http", "--tls-cert"];
  const typed: readonly (readonly [string, string | undefined])[] = [
    ["--manifest", "--manifests"],
    ["--mainfests", "--manifests"],
    ["--lisen", "--listen"],
    ["--tls", "--tls-cert"],
    ["--zebra", undefined],
    ["-x", undefined],
  ];
  for (const [word, meant] of typed) assert.equal(suggest(word, known), meant, word);
});
