/** The load program (`load/`) as a process of a bench. */
import type { LabProcess } from "../../lab/lab-process.ts";
import { nodeCommand } from "../../lab/lab-process.ts";
import type { BenchContext } from "../bench.ts";
import { onCore, withOpenFiles } from "../cores.ts";
import { loadCore, openFilesFor } from "../fan-out/load-client.ts";

export interface Storm {
  readonly agents: number;
  /** Resources that each lacks, holds with other bytes, or holds and ought not to. */
  readonly differing: number;
  /** All hold the same. */
  readonly isSame: boolean;
  /** They say what they hold; else each needs a snapshot. */
  readonly isTold: boolean;
}

export interface Mended {
  /** From the first Hello until the control plane and the last agent agree on the digest. */
  readonly elapsedMs: number;
  /** Until the median agent had all of its repair or snapshot. */
  readonly receivedP50Ms: number;
  /** Messages with their framing, of all agents. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

const stormLimitMs = 180_000;

export class RepairLoad {
  readonly #process: LabProcess;

  private constructor(process: LabProcess) {
    this.#process = process;
  }

  static start(context: BenchContext, port: number, agentsMax: number): RepairLoad {
    const command = nodeCommand("integration/bench/repairs/load/main.ts", String(port));
    return new RepairLoad(
      context.start("repair-load", withOpenFiles(openFilesFor(agentsMax), onCore(loadCore, command))),
    );
  }

  /** `connected`: all connections are up, nobody has said Hello. */
  async meet(storm: Storm, connected: () => void): Promise<Mended> {
    const up = this.#process.lineMatching(/^connected|^{"lost"/, stormLimitMs);
    const done = this.#process.lineMatching(/^{.*}$/, stormLimitMs);
    this.#process.send(storm);
    await up;
    connected();
    const [line] = await done;
    const said = JSON.parse(line) as Mended & { readonly lost?: string };
    if (said.lost !== undefined) throw new Error(`an agent was lost: ${said.lost}`);
    return said;
  }
}
