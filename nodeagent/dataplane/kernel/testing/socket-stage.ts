/** A dataplane with a pod and a host process that make connections through it. Test support. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import type { Round, ServicePlan } from "../../dataplane.ts";
import { KernelDataplane, type KernelDataplaneOptions } from "../kernel-dataplane.ts";
import { flowsFolderName, isServicesFolder, linksFolder } from "../pin-folder.ts";
import { makeKernelLab } from "./kernel-lab.ts";
import { ignore, roundOf } from "./plans.ts";
import { startPod, type Pod, type PodCall, type Seen } from "./pod.ts";

/** Both namespaces have these on their loopback; the ports are ones that a machine hardly uses. */
export const stageBackends = [
  "127.0.0.2:28101",
  "127.0.0.2:28102",
  "127.0.0.3:28101",
  "[::1]:28103",
  "[::1]:28104",
] as const;

export type From = "pod" | "other pod" | "host";

export class SocketStage implements AsyncDisposable {
  readonly #lab = makeKernelLab();
  readonly #place = this.#lab.place();
  readonly #processes = new Map<From, Pod>();
  #dataplane: KernelDataplane | undefined;
  #revision = 0;

  static async make(fields: Partial<KernelDataplaneOptions> = {}): Promise<SocketStage> {
    const stage = new SocketStage();
    await stage.#open(fields);
    for (const from of ["pod", "other pod", "host"] as const) {
      const started = await startPod(stage.#place.cgroup, from === "host");
      stage.#processes.set(from, started);
      for (const backend of stageBackends) {
        const [address = "", port = ""] = backend.split(/:(?=\d+$)/);
        const seen = await started.call({
          call: "listen",
          address: address.replaceAll(/[[\]]/g, ""),
          port: Number(port),
        });
        assert.equal(seen.error, undefined, `${from} listens on ${backend}`);
      }
    }
    return stage;
  }

  get dataplane(): KernelDataplane {
    assert.ok(this.#dataplane);
    return this.#dataplane;
  }

  async apply(services: readonly ServicePlan[], fields: Partial<Round> = {}): Promise<void> {
    const { failures } = await this.dataplane.apply(roundOf(++this.#revision, services, fields), ignore);
    assert.deepEqual(failures, []);
  }

  /** As an agent does: ends, starts, and says again all that there is. */
  async restartAgent(services: readonly ServicePlan[], fields: Partial<KernelDataplaneOptions> = {}): Promise<void> {
    await this.dataplane[Symbol.asyncDispose]();
    await this.#open(fields);
    const { failures } = await this.dataplane.replaceAll(roundOf(++this.#revision, services), ignore);
    assert.deepEqual(failures, []);
  }

  /** Path of the pin of one of the service maps. */
  pinOf(map: string): string {
    const folder = fs.readdirSync(this.#place.bpffs).find(isServicesFolder);
    assert.ok(folder !== undefined);
    return path.join(this.#place.bpffs, folder, map);
  }

  /** The same, of the flow maps. */
  flowPinOf(map: string): string {
    return path.join(this.#place.bpffs, flowsFolderName, map);
  }

  /** Whether packets are checked. */
  get isEgressAttached(): boolean {
    return fs.existsSync(path.join(this.#place.bpffs, linksFolder, "check_egress"));
  }

  async see(from: From, call: PodCall): Promise<Seen> {
    const process = this.#processes.get(from);
    assert.ok(process);
    return process.call(call);
  }

  /** What answered, or the error. */
  async answer(from: From, call: PodCall): Promise<string | undefined> {
    const { answer, error } = await this.see(from, call);
    return answer ?? error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes.values()) process[Symbol.dispose]();
    await this.#dataplane?.[Symbol.asyncDispose]();
    // The cgroup is empty once the processes have ended.
    await new Promise((resolve) => setTimeout(resolve, 100));
    this.#lab[Symbol.dispose]();
  }

  async #open(fields: Partial<KernelDataplaneOptions> = {}): Promise<void> {
    const limits = { frontends: 256, backends: 1_024, services: 64 };
    this.#dataplane = new KernelDataplane({ ...this.#place, limits, ...fields });
    await this.#dataplane.open();
  }
}
