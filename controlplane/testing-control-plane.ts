/** For tests: the real program, by its launcher, on ports of its own choice, with a folder of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const bin = fileURLToPath(new URL("bin/weft-controlplane", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs it to its end. */
export async function runControlPlane(args: readonly string[]): Promise<Ended> {
  const child = spawn(bin, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

export class ControlPlane implements AsyncDisposable {
  readonly folder: string;
  readonly grpc: string;
  /** "http://HOST:PORT" */
  readonly http: string;
  readonly #child: ReturnType<typeof spawn>;
  readonly #output: { stdout: string; stderr: string };

  private constructor(
    folder: string,
    addresses: { readonly grpc: string; readonly http: string },
    child: ReturnType<typeof spawn>,
    output: { stdout: string; stderr: string },
  ) {
    this.folder = folder;
    this.grpc = addresses.grpc;
    this.http = addresses.http;
    this.#child = child;
    this.#output = output;
  }

  /** `files`: name -> text. Resolves when it has printed its ready line. */
  static async start(
    files: Readonly<Record<string, string>>,
    security: readonly string[] = ["--insecure"],
  ): Promise<ControlPlane> {
    const folder = await mkdtemp(join(tmpdir(), "weft-controlplane-"));
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    return ControlPlane.startWith(["--manifests", folder, ...security], folder);
  }

  /** `folder` is removed at the end. */
  static async startWith(flags: readonly string[], folder: string): Promise<ControlPlane> {
    const workers = process.env["WEFT_TEST_WORKERS"];
    const threads = workers === undefined ? [] : ["--workers", workers];
    const args = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", ...threads, ...flags];
    const child = spawn(bin, args, { stdio: ["ignore", "pipe", "pipe"] });
    const output = { stdout: "", stderr: "" };
    const ready = Promise.withResolvers<RegExpExecArray>();
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output.stdout += text;
      const line = /^ready grpc=(\S+) http=(\S+)\n/.exec(output.stdout);
      if (line !== null) ready.resolve(line);
    });
    child.once("close", (code) => ready.reject(new Error(`ended with ${code} before it was ready: ${output.stderr}`)));
    const [, grpc = "", http = ""] = await ready.promise;
    return new ControlPlane(folder, { grpc, http: `http://${http}` }, child, output);
  }

  get stdout(): string {
    return this.#output.stdout;
  }

  get stderr(): string {
    return this.#output.stderr;
  }

  /** Replaces a file as an editor does: whole, by a rename. */
  async write(name: string, text: string): Promise<void> {
    const hidden = join(this.folder, `.${name}.new`);
    await writeFile(hidden, text);
    await rename(hidden, join(this.folder, name));
  }

  async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const response = await fetch(`${this.http}${path}`);
    return { status: response.status, body: await response.text() };
  }

  /** Resolves once `is` says so of the log. */
  async logged(is: RegExp): Promise<void> {
    while (!is.test(this.#output.stderr)) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async stop(signal: "SIGTERM" | "SIGINT" | "SIGKILL" = "SIGTERM"): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const closed = once(this.#child, "close");
    this.#child.kill(signal);
    const [code] = (await closed) as [number | null];
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }
}
