/** The program that writes to the API (api-writer.ts), as the bench sees it. */
import type { ApiObject, ObjectName } from "../../kube/api-client.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import type { WriterCommand, WriterMessage, WriterResult } from "./writer-messages.ts";

type Order = WriterCommand extends infer C ? (C extends { readonly id: number } ? Omit<C, "id"> : never) : never;

const readyWaitMs = 30_000;

export class RemoteWriter {
  readonly #process: LabProcess;
  readonly #progress: (text: string) => void;
  readonly #pending = new Map<number, PromiseWithResolvers<WriterResult>>();
  #next = 0;

  private constructor(process: LabProcess, progress: (text: string) => void) {
    this.#process = process;
    this.#progress = progress;
    process.onLine((line) => this.#hear(JSON.parse(line) as WriterMessage));
    void process.ended.then(() => {
      for (const { reject } of this.#pending.values()) reject(new Error(`${process.name} ended: ${process.logTail()}`));
    });
  }

  static async of(process: LabProcess, progress: (text: string) => void): Promise<RemoteWriter> {
    await process.lineMatching(/"ready"/, readyWaitMs);
    return new RemoteWriter(process, progress);
  }

  async create(objects: readonly ApiObject[]): Promise<void> {
    await this.#order({ kind: "create", objects });
  }

  async createServices(first: number, last: number, endpoints: number): Promise<void> {
    await this.#order({ kind: "services", first, last, endpoints });
  }

  /** When the API's answer was there; CLOCK_MONOTONIC, microseconds. */
  async patch(name: ObjectName, patch: unknown): Promise<number> {
    const { returnedUs } = await this.#order({ kind: "patch", name, patch });
    if (returnedUs === undefined) throw new Error("a write without a time");
    return returnedUs;
  }

  /** Resolves once the watch stands, with the bytes that so many events on the object will have taken. */
  async watchBytes(name: ObjectName, events: number): Promise<{ readonly bytes: () => Promise<number> }> {
    await this.#order({ kind: "watch", name, events });
    return { bytes: async () => (await this.#order({ kind: "watched" })).bytes ?? 0 };
  }

  /** @throws Error unless the answer is 2xx. */
  async get(url: string): Promise<string> {
    return (await this.#order({ kind: "get", url })).text ?? "";
  }

  async #order(order: Order): Promise<WriterResult> {
    const id = this.#next++;
    const pending = Promise.withResolvers<WriterResult>();
    this.#pending.set(id, pending);
    this.#process.send({ ...order, id });
    return pending.promise;
  }

  #hear(message: WriterMessage): void {
    if (message.kind === "ready") return;
    if (message.kind === "progress") {
      this.#progress(message.text);
      return;
    }
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.kind === "done") pending?.resolve(message.result);
    else pending?.reject(new Error(message.message));
  }
}
