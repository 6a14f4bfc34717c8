import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { encodedBackend, encodedService } from "./sync/described-resources.ts";
import { delta, FakeControlPlane, snapshot } from "./runtime/fake-control-plane.ts";

const launcher = new URL("bin/weft-agent", import.meta.url).pathname;
const web = encodedService({ name: "ns/web", clusterIps: ["10.96.0.1"] });
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe("weft-agent run", () => {
  it("prints one ready line without a control plane, then follows one, dumps, and exits 0 at SIGTERM", async () => {
    await using plane = await FakeControlPlane.listen();
    const state = newFolder();
    const run = ["run", "--node", "n1", "--dataplane", "memory", "--state", state, "--insecure"];
    const agent = new Program([
      ...run,
      "--controlplane",
      plane.address,
      "--http",
      "127.0.0.1:0",
      "--node-addresses",
      "192.0.2.1",
    ]);
    const http = /^ready node=n1 http=(127\.0\.0\.1:\d+)$/.exec(await agent.line())?.[1];
    assert.ok(http !== undefined);
    const stream = await plane.stream();
    const hello = await stream.greet();
    assert.deepEqual(
      hello.addresses?.addresses.map((bytes) => bytes.join(".")),
      ["192.0.2.1"],
    );
    assert.equal(hello.versions?.dataplane, "memory");
    stream.send(snapshot(1, [web, encodedBackend({ service: "ns/web", address: "10.1.0.1" })]));
    await stream.ack((ack) => ack.revision === 1n);
    const lines = [
      '{"address":"10.96.0.1","port":80,"protocol":"TCP","kind":"ClusterIP","scope":"external","service":"ns/web","action":"forward","backends":["10.1.0.1:8080"],"affinitySeconds":0}',
      '{"address":"10.96.0.1","port":80,"protocol":"TCP","kind":"ClusterIP","scope":"internal","service":"ns/web","action":"forward","backends":["10.1.0.1:8080"],"affinitySeconds":0}',
    ];
    const dumped = await new Program(["dump", "--http", http]).end();
    assert.deepEqual(dumped, { code: 0, stdout: `${lines.join("\n")}\n`, stderr: "" });
    for (const [path, status, body] of [
      ["/livez", 200, /ok/],
      ["/readyz", 200, /ok/],
      ["/metrics", 200, /^weft_agent_active_revision 1$/m],
    ] as const) {
      const response = await fetch(`http://${http}${path}`);
      assert.equal(response.status, status);
      assert.match(await response.text(), body);
    }
    assert.ok(!/koffi|libbpf/.test(readFileSync(`/proc/${agent.pid}/maps`, "utf8")), "a memory agent loads no libbpf");
    agent.kill("SIGTERM");
    const { code, stdout, stderr } = await agent.end();
    assert.deepEqual([code, stdout], [0, ""]);
    assert.match(stderr, /welcomed by a control plane/);

    // Again, with nobody at that address: the last state is served.
    await plane[Symbol.asyncDispose]();
    const again = new Program([...run, "--controlplane", plane.address, "--http", "127.0.0.1:0"]);
    const second = /http=(\S+)$/.exec(await again.line())?.[1];
    assert.ok(second !== undefined);
    assert.equal((await new Program(["dump", "--http", second]).end()).stdout, `${lines.join("\n")}\n`);
    again.kill("SIGTERM");
    const last = await again.end();
    assert.equal(last.code, 0);
    assert.match(last.stderr, /no control plane can be reached at .*ECONNREFUSED.*check --controlplane/);
  });

  it("keeps an acked revision over SIGKILL", async () => {
    await using plane = await FakeControlPlane.listen();
    const run = [
      "run",
      "--node",
      "n1",
      "--dataplane",
      "memory",
      "--state",
      newFolder(),
      "--insecure",
      "--controlplane",
      plane.address,
    ];
    const first = new Program(run);
    const stream = await plane.stream();
    await stream.greet();
    stream.send(snapshot(1, [web]));
    for (let at = 1; at < 20; at++)
      stream.send(delta(at, at + 1, [encodedBackend({ service: "ns/web", address: `10.1.0.${at}` })]));
    await stream.ack((ack) => ack.revision === 20n);
    first.kill("SIGKILL");
    await first.end();
    const second = new Program(run);
    const hello = await (await plane.stream()).hello();
    assert.equal(hello.cursor?.revision, 20n);
    assert.equal(hello.counts?.backends, 19);
    second.kill("SIGTERM");
    assert.equal((await second.end()).code, 0);
  });

  it("says what is wrong in one line and exits", async () => {
    const state = newFolder();
    const rest = ["--dataplane", "memory", "--controlplane", "127.0.0.1:1", "--state", state];
    const run = ["run", "--node", "n1", ...rest];
    await using taken = createServer().listen(0, "127.0.0.1");
    const port = await portOf(taken);
    const other = new Program([...run, "--insecure"]);
    await other.line();
    other.kill("SIGTERM");
    await other.end();
    const cases: readonly (readonly [argv: readonly string[], code: number, stderr: RegExp])[] = [
      [run, 2, /--tls-ca .* or --insecure/],
      [["run", "--node", "a b", ...rest, "--insecure"], 2, /--node: give a name/],
      [[...run, "--insecure", "--nod", "x"], 2, /--node/],
      [["run", "--node", "n2", ...rest, "--insecure"], 1, /belongs to node n1, not n2; give each node a folder/],
      [[...run, "--insecure", "--http", `127.0.0.1:${port}`], 1, /address is in use/],
      [[...run, "--tls-ca", "/nonexistent.pem"], 1, /--tls-ca \/nonexistent\.pem: no such file/],
      [["dump", "--http", "127.0.0.1:1"], 1, /ask the agent at 127\.0\.0\.1:1: connection refused/],
      [["dump", "--bpffs", "/nonexistent"], 1, /\/nonexistent/],
      [["dump", "--bpffs", "/proc"], 1, /\/proc is not on a bpf file system/],
    ];
    const outcomes = await Promise.all(cases.map(([argv]) => new Program(argv).end()));
    for (const [i, { code, stdout, stderr }] of outcomes.entries()) {
      const [argv, expectedCode, expected] = cases[i] ?? [[], 0, /$^/];
      assert.equal(code, expectedCode, `${argv.join(" ")}: ${stderr}`);
      assert.match(stderr, expected);
      assert.equal(stdout, "");
      const complaint = stderr.split("\n").filter((line) => line !== "" && !/^\d{4}-/.test(line));
      assert.ok(code === 2 || complaint.length === 1, stderr);
    }
  });

  it("survives garbage on the other end, and says that no control plane is there", async () => {
    await using garbage = createServer((socket) => {
      socket.on("error", () => undefined).resume();
      socket.end(Buffer.alloc(4_096, "not http2 at all "));
    }).listen(0, "127.0.0.1");
    const port = await portOf(garbage);
    const run = ["run", "--node", "n1", "--dataplane", "memory", "--state", newFolder(), "--insecure"];
    const agent = new Program([...run, "--controlplane", `127.0.0.1:${port}`]);
    await agent.line();
    await agent.stderrMatches(/cause=/);
    agent.kill("SIGTERM");
    const { code, stderr } = await agent.end();
    assert.equal(code, 0);
    assert.match(stderr, /check that both ends use TLS/);
  });
});

describe("weft-agent dump", () => {
  it("loses nothing to a reader that is slower than it", async () => {
    const whole = `${"x".repeat(99)}\n`.repeat(10_000);
    await using agent = createHttpServer((_, response) => response.end(whole)).listen(0, "127.0.0.1");
    const at = `127.0.0.1:${await portOf(agent)}`;
    const dump = spawn(launcher, ["dump", "--http", at], { stdio: ["ignore", "pipe", "inherit"] });
    // More than a pipe holds: it must not have ended before anyone reads.
    const ended = once(dump, "exit");
    await Promise.race([ended, delay(2_000)]);
    assert.equal(await text(dump.stdout), whole);
    assert.deepEqual(await ended, [0, null]);
  });
});

describe("weft-agent cleanup", () => {
  it("says so where there was nothing to remove, and succeeds: it may be repeated", async () => {
    const bpffs = join(newFolder(), "mistyped");
    const stderr = `weft-agent: --bpffs ${bpffs}: no agent left anything there\n`;
    assert.deepEqual(await new Program(["cleanup", "--bpffs", bpffs]).end(), { code: 0, stdout: "", stderr });
  });
});

describe("weft-agent", () => {
  it("has help with examples for each command", async () => {
    for (const command of ["run", "dump", "cleanup"]) {
      const { code, stdout } = await new Program([command, "--help"]).end();
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`Usage:\\n  weft-agent ${command}[^]*Examples:\\n`));
    }
  });
});

// The real program, started by its launcher.
class Program {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  readonly #exit: Promise<number | null>;
  #stderr = "";

  constructor(argv: readonly string[]) {
    this.#child = spawn(launcher, argv, { stdio: ["ignore", "pipe", "pipe"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stderr.setEncoding("utf8").on("data", (chunk: string) => (this.#stderr += chunk));
    this.#exit = new Promise((resolve) => this.#child.once("close", resolve));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    assert.ok(done !== true, `ended without a line: ${this.#stderr}`);
    return value;
  }

  async stderrMatches(expected: RegExp): Promise<void> {
    while (!expected.test(this.#stderr)) await new Promise((resolve) => this.#child.stderr.once("data", resolve));
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** What is left of stdout. */
  async end(): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
    let stdout = "";
    for (let next = await this.#lines.next(); next.done !== true; next = await this.#lines.next())
      stdout += `${next.value}\n`;
    return { code: await this.#exit, stdout, stderr: this.#stderr };
  }
}

async function portOf(server: Server): Promise<number> {
  if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "weft-main-"));
  folders.push(folder);
  return join(folder, "state");
}
