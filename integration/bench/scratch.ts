/** What one run of one bench may leave about: its folder, its processes, its lab. All of it is gone afterwards, however it ends. */
import fs from "node:fs";
import path from "node:path";
import { destroyLab } from "../lab/destroy-lab.ts";
import { labPaths } from "../lab/lab-paths.ts";
import { LabProcess } from "../lab/lab-process.ts";
import { startJanitor } from "../lab/start-janitor.ts";

export class Scratch implements AsyncDisposable {
  readonly folder: string;
  /** Name for a lab of the bench itself. */
  readonly lab: string;
  readonly #name: string;
  readonly #processes: string;
  readonly #logs: string;
  readonly #janitor: ReturnType<typeof startJanitor>;

  constructor() {
    // A lab's name, so that a janitor finds what this process leaves when it is killed.
    this.#name = `b${process.pid}`;
    this.lab = `l${process.pid}`;
    const { root, processes, logs } = labPaths(this.#name);
    this.#processes = processes;
    this.#logs = logs;
    this.folder = path.join(root, "scratch");
    this.#janitor = startJanitor(this.#name);
    for (const folder of [this.folder, processes, logs]) fs.mkdirSync(folder, { recursive: true });
  }

  start(name: string, command: readonly string[]): LabProcess {
    const logFile = path.join(this.#logs, `${name.replaceAll(/[^\w-]+/g, "-")}.log`);
    return LabProcess.start(name, command, { registry: this.#processes, logFile });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await destroyLab(this.#name);
    await destroyLab(this.lab);
    this.#janitor.stdin.end("keep\n");
  }
}
