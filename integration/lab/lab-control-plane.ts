/** The control plane of a lab: a process that may be killed and started again on the same address. */
import { controlAddresses } from "./address-plan.ts";
import type { Ground } from "./ground.ts";
import { placeOf } from "./ground.ts";
import { LabProcess, nodeCommand } from "./lab-process.ts";
import type { Ended, ProcessPlace } from "./lab-process.ts";

const readyWaitMs = 20_000;

export class LabControlPlane {
  readonly #ground: Ground;
  #process: LabProcess | undefined;
  #grpc: string;
  #http: string;

  constructor(ground: Ground) {
    this.#ground = ground;
    const isKernel = ground.dataplane === "kernel";
    this.#grpc = isKernel ? `${controlAddresses.v4}:7070` : "127.0.0.1:0";
    this.#http = isKernel ? `${controlAddresses.v4}:7071` : "127.0.0.1:0";
  }

  /** HOST:PORT for agents and the command line; valid once started. */
  get address(): string {
    return this.#grpc;
  }

  get http(): string {
    return this.#http;
  }

  get process(): LabProcess {
    if (this.#process === undefined) throw new Error("the control plane was not started");
    return this.#process;
  }

  /** Where it runs, and where what talks to it may run. */
  get place(): ProcessPlace {
    return placeOf(this.#ground, "control");
  }

  /** Resolves when it listens. `source`: flags; default: the folder of manifests. */
  async start(source: readonly string[] = ["--manifests", this.#ground.paths.manifests]): Promise<void> {
    const args = [
      ...source,
      "--listen",
      this.#grpc,
      "--http",
      this.#http,
      ...(this.#ground.certificates?.controlPlaneFlags ?? ["--insecure"]),
    ];
    this.#process = LabProcess.start("weft-controlplane", nodeCommand("controlplane/main.ts", ...args), this.place);
    const ready = await this.#process.lineMatching(/^ready grpc=(\S+) http=(\S+)/, readyWaitMs);
    // A port that was 0 stays what it became, so that agents find it again after a restart.
    this.#grpc = ready[1] ?? this.#grpc;
    this.#http = ready[2] ?? this.#http;
  }

  /** SIGTERM, as in a rolling restart: agents are told to leave. */
  async stop(): Promise<Ended> {
    return this.process.stop();
  }

  /** SIGKILL, as a crash. */
  async kill(): Promise<Ended> {
    return this.process.kill();
  }
}
