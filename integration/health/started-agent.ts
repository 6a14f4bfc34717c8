/** The real weft-agent with a memory dataplane, on ports of its own choice, with a state folder of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const launcher = path.resolve(import.meta.dirname, "../../nodeagent/bin/weft-agent");

export class StartedAgent implements AsyncDisposable {
  /** "http://HOST:PORT" of --http, --healthz and --metrics. */
  readonly http: string;
  readonly healthz: string;
  readonly metrics: string;
  readonly #folder: string;
  readonly #child: ReturnType<typeof spawn>;
  readonly #output: { stderr: string };

  private constructor(
    places: readonly [http: string, healthz: string, metrics: string],
    of: { readonly folder: string; readonly child: ReturnType<typeof spawn>; readonly output: { stderr: string } },
  ) {
    [this.http, this.healthz, this.metrics] = places;
    this.#folder = of.folder;
    this.#child = of.child;
    this.#output = of.output;
  }

  /** Resolves when it has printed its ready line. @param controlPlane HOST:PORT. @param flags Further ones. */
  static async start(node: string, controlPlane: string, ...flags: readonly string[]): Promise<StartedAgent> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "weft-health-"));
    const any = "127.0.0.1:0";
    const follow = ["run", "--node", node, "--controlplane", controlPlane, "--insecure", "--dataplane", "memory"];
    const args = [...follow, "--state", folder, "--http", any, "--healthz", any, "--metrics", any, ...flags];
    const child = spawn(launcher, args, { stdio: ["ignore", "pipe", "pipe"] });
    const output = { stdout: "", stderr: "" };
    const ready = Promise.withResolvers<RegExpExecArray>();
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output.stdout += text;
      const line = /^ready node=\S+ http=(\S+) healthz=(\S+) metrics=(\S+)\n/.exec(output.stdout);
      if (line !== null) ready.resolve(line);
    });
    child.once("close", (code) => ready.reject(new Error(`ended with ${code} before it was ready: ${output.stderr}`)));
    const [, http = "", healthz = "", metrics = ""] = await ready.promise;
    return new StartedAgent([`http://${http}`, `http://${healthz}`, `http://${metrics}`], { folder, child, output });
  }

  get stderr(): string {
    return this.#output.stderr;
  }

  async stop(): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const closed = once(this.#child, "close");
    this.#child.kill("SIGTERM");
    await closed;
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}
