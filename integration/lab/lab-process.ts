/** One process of a lab: started in a cgroup and a network namespace, heard by line, ended for certain. */
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

export interface ProcessPlace {
  /** Cgroup folder that it joins before it opens any socket: a socket belongs to the cgroup it was created in. */
  readonly cgroup?: string | undefined;
  /** Path of its network namespace. */
  readonly namespace?: string | undefined;
  /** Folder in which the process is noted, so that a janitor finds it without cgroups. */
  readonly registry: string;
  /** What it says on stderr is appended here. */
  readonly logFile: string;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How long a process may take from SIGTERM to its end; then it is killed. */
const stopWaitMs = 5_000;
/** Lines of the log that an error shows. */
const logTailLines = 12;

const repository = path.resolve(import.meta.dirname, "../..");
const compileCache = path.join(repository, "node_modules/.cache/weft-lab");

export class LabProcess {
  readonly name: string;
  readonly pid: number;
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #place: ProcessPlace;
  readonly #listeners = new Set<(line: string) => void>();
  #end: Ended | undefined;

  private constructor(name: string, child: ChildProcessByStdio<Writable, Readable, null>, place: ProcessPlace) {
    this.name = name;
    this.#child = child;
    this.#place = place;
    if (child.pid === undefined) throw new Error(`${name}: could not be started`);
    this.pid = child.pid;
    this.ended = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        this.#end = { code, signal };
        fs.rmSync(path.join(place.registry, String(this.pid)), { force: true });
        resolve(this.#end);
      });
    });
    // A process that ended cannot be written to; its end is seen through `ended`.
    child.stdin.on("error", () => {});
    readline.createInterface({ input: child.stdout }).on("line", (line) => {
      for (const listener of this.#listeners) listener(line);
    });
  }

  /** `command`: a program and its arguments, found by PATH. */
  static start(name: string, command: readonly string[], place: ProcessPlace): LabProcess {
    const enter = place.namespace === undefined ? [] : ["nsenter", `--net=${place.namespace}`];
    const join = place.cgroup === undefined ? "" : 'echo $$ > "$0" && ';
    const cgroupFile = place.cgroup === undefined ? "" : path.join(place.cgroup, "cgroup.procs");
    const log = fs.openSync(place.logFile, "a");
    try {
      const child = spawn("sh", ["-c", `${join}exec "$@"`, cgroupFile, ...enter, ...command], {
        stdio: ["pipe", "pipe", log],
        // A session of its own: Ctrl-C in a terminal is for the lab's owner, which ends the rest in order.
        detached: true,
        env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
      }) as ChildProcessByStdio<Writable, Readable, null>;
      const started = new LabProcess(name, child, place);
      fs.writeFileSync(path.join(place.registry, String(started.pid)), startTime(started.pid) ?? "");
      return started;
    } finally {
      fs.closeSync(log);
    }
  }

  get isRunning(): boolean {
    return this.#end === undefined;
  }

  onLine(listener: (line: string) => void): void {
    this.#listeners.add(listener);
  }

  /** First line from now on that `pattern` matches. @throws Error if it ends or `limitMs` pass before. */
  async lineMatching(pattern: RegExp, limitMs: number): Promise<RegExpExecArray> {
    const { promise, resolve } = Promise.withResolvers<RegExpExecArray>();
    const listener = (line: string): void => {
      const match = pattern.exec(line);
      if (match !== null) resolve(match);
    };
    this.#listeners.add(listener);
    const timeout = new AbortController();
    try {
      const first = await Promise.race([
        promise,
        this.ended.then((end) => `ended with ${end.signal ?? `exit code ${end.code}`}`),
        delay(limitMs, `said nothing like ${pattern} within ${limitMs} ms`, { signal: timeout.signal }),
      ]);
      if (typeof first === "string")
        throw new Error(`${this.name}: ${first}; ${this.#place.logFile} ends:\n${this.logTail()}`);
      return first;
    } finally {
      timeout.abort();
      this.#listeners.delete(listener);
    }
  }

  /** One line of JSON on its stdin. */
  send(message: unknown): void {
    this.sendLine(JSON.stringify(message));
  }

  /** One line on its stdin. */
  sendLine(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** SIGTERM, then SIGKILL if that was not enough. */
  async stop(): Promise<Ended> {
    this.#child.kill("SIGTERM");
    const timeout = new AbortController();
    const end = await Promise.race([
      this.ended,
      delay(stopWaitMs, undefined, { signal: timeout.signal }).catch(() => undefined),
    ]);
    timeout.abort();
    return end ?? this.kill();
  }

  async kill(): Promise<Ended> {
    this.#child.kill("SIGKILL");
    return this.ended;
  }

  logTail(): string {
    return fs.readFileSync(this.#place.logFile, "utf8").trimEnd().split("\n").slice(-logTailLines).join("\n");
  }
}

/** A program of this repository under this Node, with the options of the launchers (`bin/`). */
export function nodeCommand(file: string, ...args: readonly string[]): readonly string[] {
  const agentOptions = file.startsWith("nodeagent/") ? ["--no-allocation-site-pretenuring"] : [];
  return [process.execPath, "--disable-warning=DEP0123", ...agentOptions, path.join(repository, file), ...args];
}

/** Moment at which `pid` started, in clock ticks since boot: tells it from another process of the same number. */
export function startTime(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    // Field 22; the name before it may hold blanks, so fields are counted behind its closing parenthesis.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
