/** The real `weft` command as a process, for tests. */
import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

const bin = fileURLToPath(new URL("bin/weft", import.meta.url));

/** Longest run of a command in a test. */
const runMsMax = 30_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningWeft {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves once stdout or stderr has the text. */
  said(text: string): Promise<void>;
}

export function startWeft(...argv: readonly string[]): RunningWeft {
  return start(argv, "");
}

/** With text on its stdin. */
export function runWeftOn(stdin: string, ...argv: readonly string[]): Promise<Ended> {
  return start(argv, stdin).ended;
}

function start(argv: readonly string[], stdin: string): RunningWeft {
  // Variables of the developer must not be flags of the test.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("WEFT_")));
  const child = spawn(bin, argv, { env, stdio: "pipe", timeout: runMsMax });
  // It may end before it has read everything.
  child.stdin.on("error", () => undefined);
  child.stdin.end(stdin);
  let stdout = "";
  let stderr = "";
  const waiting = new Map<string, () => void>();
  const look = (): void => {
    for (const [text, resolve] of waiting) if (stdout.includes(text) || stderr.includes(text)) resolve();
  };
  child.stdout.on("data", (chunk) => {
    stdout += String(chunk);
    look();
  });
  child.stderr.on("data", (chunk) => {
    stderr += String(chunk);
    look();
  });
  const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
  const said = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting.set(text, resolve);
      look();
      void ended.then(() => reject(new Error(`weft ended without saying ${text}: ${stdout}${stderr}`)));
    });
  return { child, ended, said };
}

export function runWeft(...argv: readonly string[]): Promise<Ended> {
  return startWeft(...argv).ended;
}
