/** The program in `caller/` as its owner sees it: on a node of a lab, with pods of that node that answer. */
import path from "node:path";
import { podAddresses } from "../../lab/address-plan.ts";
import type { Lab } from "../../lab/lab.ts";
import { LabProcess } from "../../lab/lab-process.ts";
import { namespaceName, namespacePath } from "../../lab/lab-paths.ts";
import { targetPort } from "../cluster.ts";
import { compileC } from "../compile-c.ts";
import { onCore } from "../cores.ts";
import type { CallProtocol, PodAddresses } from "./calls.ts";
import { podsPerNode } from "./calls.ts";

const answerWaitMs = 60_000;

export class Caller {
  readonly pods: readonly PodAddresses[];
  readonly #process: LabProcess;

  private constructor(process: LabProcess, pods: readonly PodAddresses[]) {
    this.#process = process;
    this.pods = pods;
  }

  /** A process of the host on that node, which calls pods of it. */
  static async start(lab: Lab, node: number, core: number): Promise<Caller> {
    // Pods get their addresses in order.
    const pods = Array.from({ length: podsPerNode }, (_, i) => ({
      name: `p${node}x${i + 1}`,
      node,
      addresses: podAddresses(node, i + 1),
    }));
    lab.makePods(pods);
    const listen = pods.flatMap(({ name, addresses }) =>
      [addresses.v4, addresses.v6].flatMap((address) => [
        namespacePath(namespaceName(lab.name, `pod-${name}`)),
        address,
        String(targetPort),
      ]),
    );
    const program = compileC("caller", path.join(import.meta.dirname, "caller"));
    const place = { ...lab.node(node).place, logFile: path.join(lab.logs, `caller-${node}.log`) };
    const started = LabProcess.start(`caller on node-${node}`, onCore(core, [program, ...listen]), place);
    await started.lineMatching(/^ready$/, answerWaitMs);
    return new Caller(
      started,
      pods.map(({ addresses: { v4, v6 } }) => ({ IPv4: v4, IPv6: v6 })),
    );
  }

  /** Microseconds of each call. `targets`: "ADDRESS PORT …", which take turns. */
  async call(protocol: CallProtocol, count: number, targets: string): Promise<readonly number[]> {
    const answer = this.#process.lineMatching(/^[\d ]+$/, answerWaitMs);
    this.#process.send(`${protocol} ${count} ${targets}`);
    const [line] = await answer;
    return line
      .trim()
      .split(" ")
      .map((ns) => Number(ns) / 1_000);
  }
}
