/** A control plane that says what a test tells it to: a real gRPC server on a free port of the loopback. */
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import type { ServerDuplexStream, UntypedServiceImplementation } from "@grpc/grpc-js";
import { LogKind, DiscoveryService, SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack, Digests, Hello, SyncRequest, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { serviceDefinition } from "@weft/proto/grpc/service.ts";
import type { EncodedResource } from "../sync/described-resources.ts";

export const fakeEpoch = { createdMs: 1_763_881_972_000n, random: 0x9f3a_12bc };

export type Response = MessageInitShape<typeof SyncResponseSchema>;

const patienceMs = 10_000;

export class FakeControlPlane implements AsyncDisposable {
  readonly #server: Server;
  readonly #streams = new Inbox<FakeStream>();
  /** "127.0.0.1:PORT". */
  readonly address: string;

  private constructor(server: Server, port: number, streams: Inbox<FakeStream>) {
    this.#server = server;
    this.#streams = streams;
    this.address = `127.0.0.1:${port}`;
  }

  /** @param port 0: any free one. */
  static async listen(port = 0): Promise<FakeControlPlane> {
    const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
    const streams = new Inbox<FakeStream>();
    const implementation: UntypedServiceImplementation = {
      sync: (call: ServerDuplexStream<SyncRequest, SyncResponse>) => streams.put(new FakeStream(call)),
    };
    server.addService(serviceDefinition(DiscoveryService), implementation);
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) =>
        error === null ? resolve(at) : reject(error),
      );
    });
    return new FakeControlPlane(server, bound, streams);
  }

  /** The next stream that an agent opens. */
  stream(): Promise<FakeStream> {
    return this.#streams.take("a stream");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    await Promise.resolve();
  }
}

export class FakeStream {
  readonly #call: ServerDuplexStream<SyncRequest, SyncResponse>;
  readonly #messages = new Inbox<SyncRequest>();
  readonly #ended: Promise<void>;

  constructor(call: ServerDuplexStream<SyncRequest, SyncResponse>) {
    this.#call = call;
    call.on("data", (message: SyncRequest) => this.#messages.put(message));
    call.on("error", () => undefined);
    this.#ended = new Promise((resolve) => {
      call.on("cancelled", resolve);
      call.on("end", resolve);
      call.on("close", resolve);
    });
  }

  /** One message with the fields of all `responses`. */
  send(...responses: readonly Response[]): void {
    this.#call.write(create(SyncResponseSchema, Object.assign({}, ...responses)));
  }

  async hello(): Promise<Hello> {
    const message = await this.#messages.take("Hello");
    if (message.message.case !== "hello") throw new Error(`${message.message.case} instead of Hello`);
    return message.message.value;
  }

  /** The next ack for which `isIt` holds; earlier ones are passed over. */
  async ack(isIt: (ack: Ack) => boolean): Promise<Ack> {
    for (;;) {
      const { message } = await this.#messages.take("an ack");
      if (message.case === "ack" && isIt(message.value)) return message.value;
    }
  }

  async digests(): Promise<Digests> {
    for (;;) {
      const { message } = await this.#messages.take("digests");
      if (message.case === "digests") return message.value;
    }
  }

  /** Resolves when the agent ended the stream. */
  async ended(): Promise<void> {
    await this.#ended;
  }

  /** Ends the stream with a status. */
  end(code: status = status.OK, details = ""): void {
    if (code === status.OK) this.#call.end();
    else this.#call.emit("error", { code, details });
  }

  /** Hello, then Welcome and NodeView. */
  async greet(epoch = fakeEpoch, heartbeatMs = 10_000): Promise<Hello> {
    const hello = await this.hello();
    this.send(welcome(epoch, heartbeatMs));
    this.send({ nodeView: { zone: "z1", serviceCidrs: [] } });
    return hello;
  }
}

export function welcome(epoch = fakeEpoch, heartbeatMs = 10_000, logKind: LogKind = LogKind.MEMORY): Response {
  return { welcome: { epoch, logKind, limits: { heartbeatMs, failuresMax: 1_000 }, protocol: 1, version: "fake" } };
}

/** A whole snapshot in one part. */
export function snapshot(to: number, resources: readonly EncodedResource[], isConfirmed = false): Response {
  return {
    delta: {
      to: BigInt(to),
      parts: 1,
      scope: { everything: true },
      massRemovalConfirmed: isConfirmed,
      resources: resources.map(({ bytes }) => bytes),
    },
  };
}

export function delta(
  from: number,
  to: number,
  resources: readonly EncodedResource[],
  removed: readonly EncodedResource[] = [],
): Response {
  return {
    delta: {
      from: BigInt(from),
      to: BigInt(to),
      parts: 1,
      removed: removed.map(({ id }) => id),
      resources: resources.map(({ bytes }) => bytes),
    },
  };
}

// Values in order, for one that waits for them.
class Inbox<T> {
  readonly #values: T[] = [];
  #waiting: ((value: T) => void) | undefined;

  put(value: T): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#values.push(value);
    else waiting(value);
  }

  async take(what: string): Promise<T> {
    const value = this.#values.shift();
    if (value !== undefined) return value;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${what} within ${patienceMs} ms`)), patienceMs);
      this.#waiting = (found) => {
        clearTimeout(timer);
        resolve(found);
      };
    });
  }
}
