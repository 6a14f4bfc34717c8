/** For tests: an agent that does what the test says, over real grpc-js, and keeps what it was given as a real agent would. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import type { ChannelCredentials, ClientDuplexStream, StatusObject } from "@grpc/grpc-js";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import {
  AckSchema,
  FailureCategory,
  HelloSchema,
  SyncRequestSchema,
  SyncResponseSchema,
} from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { SyncRequest, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { HeldResources } from "./held-resources.ts";

type AckInit = MessageInitShape<typeof AckSchema>;
type HelloInit = MessageInitShape<typeof HelloSchema>;

const path = "/weft.discovery.v1.DiscoveryService/Sync";

export interface ScriptedAgentOptions {
  readonly address: string;
  readonly node: string;
  readonly instance?: bigint;
  readonly credentials?: ChannelCredentials;
  /** Default: all it takes to be a good agent. */
  readonly doesAck?: boolean;
  /** Default: yes. */
  readonly doesAnswerDigests?: boolean;
  readonly held?: HeldResources;
}

/** What came in one response. */
export interface Arrival {
  readonly response: SyncResponse;
  readonly bytes: number;
}

export class ScriptedAgent {
  readonly node: string;
  readonly instance: bigint;
  readonly held: HeldResources;
  readonly arrivals: Arrival[] = [];
  readonly ended: Promise<StatusObject>;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #doesAck: boolean;
  readonly #doesAnswerDigests: boolean;
  #waiting: (() => void)[] = [];
  #isEnded = false;

  constructor(options: ScriptedAgentOptions) {
    this.node = options.node;
    this.instance = options.instance ?? 1n;
    this.held = options.held ?? new HeldResources();
    this.#doesAck = options.doesAck ?? true;
    this.#doesAnswerDigests = options.doesAnswerDigests ?? true;
    this.#client = new Client(options.address, options.credentials ?? credentials.createInsecure(), {
      // A connection of its own, as agents on different nodes have.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": -1,
    });
    const asIs = (bytes: Buffer): Buffer => bytes;
    this.#call = this.#client.makeBidiStreamRequest(path, asIs, asIs, new Metadata());
    this.#call.on("data", (bytes: Buffer) => this.#arrived(bytes));
    this.#call.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      this.#call.on("status", (status: StatusObject) => {
        this.#isEnded = true;
        resolve(status);
        this.#wake();
      });
    });
  }

  /** `init` is what differs from an honest Hello. */
  hello(init: HelloInit = {}): this {
    const { node, instance } = this;
    const { cursor, digest } = this.held;
    const counts = { services: this.held.services };
    const honest: HelloInit = {
      node,
      instance,
      protocol: 1,
      digest,
      counts,
      ...(cursor && { cursor: cursorMessage(cursor) }),
    };
    return this.send({ case: "hello", value: create(HelloSchema, { ...honest, ...init } as HelloInit) });
  }

  ack(init: Omit<AckInit, "revision"> & { readonly revision: number }): this {
    return this.send({
      case: "ack",
      value: create(AckSchema, { ...init, revision: BigInt(init.revision) } as AckInit),
    });
  }

  send(message: SyncRequest["message"]): this {
    return this.sendBytes(toBinary(SyncRequestSchema, create(SyncRequestSchema, { message })));
  }

  sendBytes(bytes: Uint8Array): this {
    this.#call.write(Buffer.from(bytes));
    return this;
  }

  /** Stops reading: from now on the other end is stuck behind flow control. */
  stall(): void {
    this.#call.pause();
  }

  unstall(): void {
    this.#call.resume();
  }

  /** Resolves once `is` holds; it is asked again at every arrival. Rejects if the stream ends before, or after half a minute. */
  async until(is: (agent: this) => boolean, what: string): Promise<void> {
    const deadlineMs = performance.now() + 30_000;
    while (!is(this)) {
      if (this.#isEnded)
        throw new Error(`${this.node}: the stream ended before ${what}: ${(await this.ended).details}`);
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw new Error(`${this.node}: waited in vain for ${what}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, leftMs);
      this.#waiting.push(resolve);
      await promise;
      clearTimeout(timer);
    }
  }

  async untilRevision(at: number): Promise<void> {
    await this.until((agent) => (agent.held.cursor?.revision ?? 0) >= at, `revision ${at}`);
  }

  async close(): Promise<void> {
    this.#call.cancel();
    await this.ended;
    this.#client.close();
  }

  #arrived(bytes: Buffer): void {
    const response = fromBinary(SyncResponseSchema, bytes);
    this.arrivals.push({ response, bytes: bytes.length });
    // A Goaway comes alone, perhaps instead of Welcome.
    const isActive = response.goaway === undefined && this.held.take(response);
    if (this.#doesAck) this.#answer(response, isActive);
    if (this.#doesAnswerDigests && response.digestQuery !== undefined) {
      for (const value of this.held.digests(response.digestQuery)) this.send({ case: "digests", value });
    }
    this.#wake();
  }

  #answer(response: SyncResponse, isActive: boolean): void {
    // Until the second Welcome is answered nothing of the new epoch is active.
    const isRenamed = response.welcome !== undefined && this.arrivals.length > 1;
    const isRefused = this.held.isHolding && response.delta !== undefined;
    if (!isActive && response.heartbeat === undefined && !isRenamed && !isRefused) return;
    this.ack({
      revision: this.held.position,
      digest: this.held.digest,
      heartbeat: response.heartbeat?.sequence ?? 0n,
      counts: { services: this.held.services },
      failures: this.held.isHolding ? [{ category: FailureCategory.MASS_REMOVAL_HELD }] : [],
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

export function cursorMessage(cursor: Cursor) {
  return {
    epoch: { createdMs: BigInt(cursor.epoch.createdMs), random: cursor.epoch.random },
    revision: BigInt(cursor.revision),
  };
}

export function cursorOf(createdMs: number, random: number, at: number): Cursor {
  return { epoch: epoch(createdMs, random), revision: revision(at) };
}
