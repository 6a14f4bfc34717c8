/** One server stream of grpc-js: bounded, ended once, with a status that says why. */
import type { status } from "@grpc/grpc-js";

/** What is used of a `ServerWritableStream`; its generics are invariant. */
export interface OutgoingCall {
  write(message: unknown): boolean;
  end(): unknown;
  on(event: "drain" | "cancelled" | "close" | "error", listener: () => void): unknown;
  emit(event: "error", error: { readonly code: status; readonly details: string }): boolean;
}

/** Messages that wait for a slow reader. */
const queuedMax = 1_024;

export class Outgoing<Response> {
  readonly #call: OutgoingCall;
  readonly #queue: (Response | Uint8Array)[] = [];
  readonly #closed = new AbortController();
  #drained = Promise.withResolvers<void>();
  #isFull = false;
  #isEnding = false;

  constructor(call: OutgoingCall) {
    this.#call = call;
    call.on("drain", () => this.#flush());
    call.on("cancelled", () => this.#close());
    call.on("close", () => this.#close());
    // The transport's errors; the call is over then.
    call.on("error", () => this.#close());
  }

  /** Aborts when the call is over, whoever ended it. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** False: the reader is behind, and what is sent now waits in memory. */
  get isWritable(): boolean {
    return !this.#isFull;
  }

  /** False: too much waits already; the message is dropped. */
  send(message: Response | Uint8Array): boolean {
    if (this.#closed.signal.aborted || this.#isEnding) return true;
    if (this.#queue.length >= queuedMax) return false;
    this.#queue.push(message);
    if (!this.#isFull) this.#flush();
    return true;
  }

  /** Resolves when the reader has taken what was sent, or the call is over. */
  async drained(): Promise<void> {
    if (this.#isFull && !this.#closed.signal.aborted) await this.#drained.promise;
  }

  /** Ends the call when everything is sent. */
  end(): void {
    this.#isEnding = true;
    if (!this.#isFull) this.#flush();
  }

  fail(code: status, details: string): void {
    if (this.#closed.signal.aborted) return;
    this.#close();
    this.#call.emit("error", { code, details });
  }

  #flush(): void {
    this.#isFull = false;
    while (this.#queue.length > 0 && !this.#closed.signal.aborted) {
      const message = this.#queue.shift();
      if (message !== undefined && !this.#call.write(message)) {
        this.#isFull = true;
        return;
      }
    }
    this.#drained.resolve();
    this.#drained = Promise.withResolvers<void>();
    if (!this.#isEnding || this.#closed.signal.aborted) return;
    this.#close();
    this.#call.end();
  }

  #close(): void {
    this.#queue.length = 0;
    this.#closed.abort();
    this.#drained.resolve();
  }
}
