/** A node of a lab: its agent, which may be killed and started again, and what its dataplane holds. */
import fs from "node:fs";
import path from "node:path";
import { nodeAddresses } from "./address-plan.ts";
import { expectSuccess, runCommand } from "./command.ts";
import type { CommandResult } from "./command.ts";
import type { Ground } from "./ground.ts";
import { placeOf } from "./ground.ts";
import { LabProcess, nodeCommand } from "./lab-process.ts";
import type { ProcessPlace } from "./lab-process.ts";

const readyWaitMs = 30_000;
const agentHttpPort = 7072;
/** Among the flags of an agent: it is not told its addresses, and takes those of the node's interfaces. */
export const detectAddresses = "--node-addresses=";

export class LabNode {
  readonly name: string;
  readonly number: number;
  readonly bpffs: string;
  readonly state: string;
  /** The subtree in which the agent serves sockets; undefined on the memory dataplane. */
  readonly cgroup: string | undefined;
  readonly #ground: Ground;
  readonly #controlplane: { readonly address: string };
  #agent: LabProcess | undefined;
  #http: string;
  #flags: readonly string[];

  /** `flags`: further ones of its agent. */
  constructor(
    ground: Ground,
    number: number,
    controlplane: { readonly address: string },
    flags: readonly string[] = [],
  ) {
    this.name = `node-${number}`;
    this.number = number;
    this.bpffs = path.join(ground.paths.bpffs, this.name);
    this.state = path.join(ground.paths.state, this.name);
    this.cgroup = ground.cgroup === undefined ? undefined : path.join(ground.cgroup, this.name);
    this.#ground = ground;
    this.#controlplane = controlplane;
    this.#flags = flags;
    this.#http = ground.dataplane === "kernel" ? `127.0.0.1:${agentHttpPort}` : "127.0.0.1:0";
  }

  get agent(): LabProcess {
    if (this.#agent === undefined) throw new Error(`${this.name}: its agent was not started`);
    return this.#agent;
  }

  /** HOST:PORT of the agent's HTTP, inside the node's namespace; valid once started. */
  get http(): string {
    return this.#http;
  }

  /** Where a process of this node runs. The agent has a cgroup of its own beside the pods. */
  get place(): ProcessPlace {
    const place = placeOf(this.#ground, this.name);
    if (place.cgroup === undefined) return place;
    const cgroup = path.join(place.cgroup, "host");
    fs.mkdirSync(cgroup, { recursive: true });
    return { ...place, cgroup };
  }

  /** Arguments of `weft-agent run`. */
  agentArguments(): string[] {
    const { v4, v6 } = nodeAddresses(this.number);
    const security = this.#ground.certificates?.nodeFlags(this.name) ?? ["--insecure"];
    const common = ["run", "--node", this.name, "--controlplane", this.#controlplane.address, ...security];
    const isDetecting = this.#flags.includes(detectAddresses);
    const addresses = isDetecting ? [] : ["--node-addresses", `${v4},${v6}`];
    const flags = this.#flags.filter((flag) => flag !== detectAddresses);
    const own = ["--state", this.state, "--http", this.#http, ...addresses, ...flags];
    if (this.cgroup === undefined) return [...common, ...own, "--dataplane", "memory"];
    return [...common, ...own, "--dataplane", "kernel", "--bpffs", this.bpffs, "--cgroup", this.cgroup];
  }

  /** Starts the agent; resolves when it serves: links attached, probe passed. `flags`: instead of those of its last start. */
  async startAgent(flags: readonly string[] = this.#flags): Promise<void> {
    this.#flags = flags;
    fs.mkdirSync(this.state, { recursive: true });
    if (this.cgroup !== undefined) fs.mkdirSync(this.bpffs, { recursive: true });
    const command = nodeCommand("nodeagent/main.ts", ...this.agentArguments());
    this.#agent = LabProcess.start(`weft-agent on ${this.name}`, command, this.place);
    const ready = await this.#agent.lineMatching(/^ready node=\S+(?: http=(\S+))?/, readyWaitMs);
    this.#http = ready[1] ?? this.#http;
  }

  /** Runs `weft-agent` with these arguments on the node. */
  async runAgent(...args: readonly string[]): Promise<CommandResult> {
    return runCommand(`weft-agent ${args.join(" ")}`, nodeCommand("nodeagent/main.ts", ...args), this.place);
  }

  /** What packets can hit: lines of the plan, as `weft-agent dump` prints them. */
  async dump(): Promise<string> {
    const where = this.cgroup === undefined ? ["--http", this.#http] : ["--bpffs", this.bpffs];
    return expectSuccess(await this.runAgent("dump", ...where));
  }
}
