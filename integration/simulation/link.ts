/**
 * One connection between an agent and a control plane, with a stream on it: in order and complete in each direction until it is cut,
 * as TCP is. Both ends learn of a cut later, each in its own time; or nothing passes for a while and nobody is told.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Refusal } from "@weft/controlplane/fanout/refusal.ts";
import type { StreamInput, StreamPort } from "@weft/controlplane/fanout/stream-port.ts";
import type { DiscoveryStream, StreamEvents } from "@weft/nodeagent/runtime/discovery-stream.ts";
import type { StreamEnd } from "@weft/nodeagent/runtime/stream-end.ts";
import { SyncRequestSchema, SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { SyncRequest, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Longest way of a message. */
const latencyMaxMs = 60;
const slowLatencyMaxMs = 3_000;
/** How long a cut may stay unknown to the control plane: its own silence deadline comes first. */
const unknownMaxMs = 50_000;
const connectMaxMs = 300;

export interface LinkOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly peer: string;
  readonly events: StreamEvents;
  /** Undefined: nobody listens. */
  readonly accept: (port: StreamPort) => StreamInput | undefined;
  readonly saw: { request(message: SyncRequest): void; response(message: SyncResponse, bytes: number): void };
}

type Way = "up" | "down";

export class Link implements DiscoveryStream {
  readonly #options: LinkOptions;
  readonly #lastMs: Record<Way, number> = { up: 0, down: 0 };
  readonly #frozen: (() => void)[] = [];
  #input: StreamInput | undefined;
  #unsent = 0;
  /** Times that it was frozen or slowed down. */
  disturbances = 0;
  #isSlow = false;
  #isFrozen = false;
  #isCut = false;
  #isToldUp = false;
  #isToldDown = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { time, random } = options;
    time.after(random.delayMs(connectMaxMs), () => this.#connect());
  }

  get isOpen(): boolean {
    return !this.#isCut && this.#input !== undefined;
  }

  get isDisturbed(): boolean {
    return this.#isFrozen || this.#isSlow;
  }

  get isWritable(): boolean {
    return this.#unsent === 0;
  }

  send(message: SyncRequest): void {
    const { saw, events } = this.#options;
    const bytes = toBinary(SyncRequestSchema, message);
    this.#unsent++;
    saw.request(message);
    this.#pass("up", () => {
      this.#unsent--;
      this.#input?.receive(fromBinary(SyncRequestSchema, bytes));
      if (this.#unsent === 0 && !this.#isToldUp) events.drained();
    });
  }

  /** The agent ends it: a reset. */
  close(): void {
    if (this.#isToldUp) return;
    this.#tellAgent({ cause: "closed", message: "closed by this agent" });
    this.#cut();
    this.#tellControlPlaneLater(latencyMaxMs);
  }

  /** The connection breaks. */
  break(): void {
    if (this.#isCut) return;
    const { time, random } = this.#options;
    this.#cut();
    time.after(random.delayMs(1_000), () => this.#tellAgent({ cause: "unreachable", message: "broken" }));
    this.#tellControlPlaneLater(unknownMaxMs);
  }

  /** Nothing passes until `thaw`, and nobody is told. */
  freeze(): void {
    this.#isFrozen = true;
    this.disturbances++;
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const pass of this.#frozen.splice(0)) pass();
  }

  /** Messages take long from now on, or no longer. */
  slow(isSlow: boolean): void {
    this.#isSlow = isSlow;
    this.disturbances++;
  }

  #connect(): void {
    if (this.#isCut) return;
    const { events, accept, peer } = this.#options;
    const port: StreamPort = {
      peer,
      identity: { kind: "anonymous" },
      write: (bytes, written) => this.#write(bytes, written),
      end: (refusal) => this.#end(refusal),
      reset: (refusal) => this.#reset(refusal),
      drop: () => this.break(),
    };
    this.#input = accept(port);
    if (this.#input === undefined) {
      this.#isCut = true;
      this.#tellAgent({ cause: "unreachable", message: "nobody listens" });
    } else events.connected();
  }

  #write(bytes: Uint8Array, written: () => void): void {
    const { saw, events } = this.#options;
    this.#pass("down", written);
    this.#pass("down", () => {
      const message = fromBinary(SyncResponseSchema, bytes);
      saw.response(message, bytes.length);
      events.message(message);
    });
  }

  #end(refusal: Refusal): void {
    this.#pass("down", () => {
      this.#cut();
      this.#tellAgent({ cause: "closed", message: refusal.message });
      this.#tellControlPlaneLater(latencyMaxMs);
    });
  }

  #reset(refusal: Refusal): void {
    const { time, random } = this.#options;
    this.#cut();
    time.after(random.delayMs(latencyMaxMs), () => this.#tellAgent({ cause: "closed", message: refusal.message }));
    this.#tellControlPlaneLater(latencyMaxMs);
  }

  #pass(way: Way, arrive: () => void): void {
    const { time, random } = this.#options;
    const atMs = Math.max(
      this.#lastMs[way],
      time.nowMs + random.delayMs(this.#isSlow ? slowLatencyMaxMs : latencyMaxMs),
    );
    this.#lastMs[way] = atMs;
    const arrived = (): void => {
      if (!this.#isCut) arrive();
    };
    time.at(atMs, () => {
      if (this.#isFrozen) this.#frozen.push(arrived);
      else arrived();
    });
  }

  #cut(): void {
    this.#isCut = true;
    this.#frozen.length = 0;
  }

  #tellAgent(end: StreamEnd): void {
    if (this.#isToldUp) return;
    this.#isToldUp = true;
    this.#options.events.ended(end);
  }

  #tellControlPlaneLater(maxMs: number): void {
    const { time, random } = this.#options;
    if (this.#isToldDown) return;
    this.#isToldDown = true;
    time.after(random.delayMs(maxMs), () => this.#input?.closed("closed"));
  }
}
