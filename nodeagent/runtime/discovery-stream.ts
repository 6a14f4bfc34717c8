/**
 * The gRPC side of a stream to a control plane: the one file of the agent that knows grpc-js. One channel per stream, so that a
 * dead subchannel or an old certificate never outlives an attempt; when to try again is decided by the sync state.
 */
import { Client, connectivityState } from "@grpc/grpc-js";
import type { ChannelCredentials, ChannelOptions, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { DiscoveryService } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { SyncRequest, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { methodDefinition } from "@weft/proto/grpc/service.ts";
import { explainEnd } from "./stream-end.ts";
import type { StreamEnd } from "./stream-end.ts";

/** Largest message in either direction. */
export const messageBytesMax = 64 * 1_024 * 1_024;
const windowBytes = 1_024 * 1_024;
const keepaliveMs = 30_000;
const keepaliveTimeoutMs = 10_000;
const reconnectMaxMs = 5_000;

export interface StreamEvents {
  /** The transport is ready: `Hello` may be sent. */
  connected(): void;
  message(message: SyncResponse): void;
  /** What was sent has left this process: `isWritable` is true again. */
  drained(): void;
  /** Called once, also after `close`; nothing is called after it. */
  ended(end: StreamEnd): void;
}

export interface DiscoveryStream {
  /** Nothing that was sent waits to leave. */
  readonly isWritable: boolean;
  send(message: SyncRequest): void;
  close(): void;
}

export type OpenStream = (events: StreamEvents) => DiscoveryStream;

export interface DialOptions {
  /** "HOST:PORT". */
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly channelOptions: ChannelOptions;
}

/** Opens streams to one control plane. */
export function dialer(options: DialOptions): OpenStream {
  return (events) => new GrpcStream(options, events);
}

const syncMethod = methodDefinition(DiscoveryService.method.sync);

class GrpcStream implements DiscoveryStream {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<SyncRequest, SyncResponse>;
  readonly #events: StreamEvents;
  readonly #address: string;
  #unsent = 0;
  #hasEnded = false;

  constructor({ address, credentials, channelOptions }: DialOptions, events: StreamEvents) {
    this.#events = events;
    this.#address = address;
    this.#client = new Client(address, credentials, {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_channelz": 0,
      "grpc.enable_retries": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": reconnectMaxMs,
      "grpc.max_receive_message_length": messageBytesMax,
      "grpc.max_send_message_length": messageBytesMax,
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
      "grpc-node.flow_control_window": windowBytes,
      ...channelOptions,
    });
    // Fails at once when the connection is refused, with the reason in its details; `waitForReady` would hide both.
    this.#call = this.#client.makeBidiStreamRequest<SyncRequest, SyncResponse>(
      syncMethod.path,
      syncMethod.requestSerialize,
      (bytes) => syncMethod.responseDeserialize(bytes) as SyncResponse,
    );
    this.#call.on("data", (message: SyncResponse) => {
      if (!this.#hasEnded) events.message(message);
    });
    this.#call.on("error", (error: ServiceError) => this.#end(explainEnd(error.code, error.details, address)));
    this.#call.on("end", () => this.#end(explainEnd(0, "", address)));
    this.#awaitReady();
  }

  get isWritable(): boolean {
    return this.#unsent === 0;
  }

  send(message: SyncRequest): void {
    if (this.#hasEnded) return;
    this.#unsent++;
    this.#call.write(message, () => {
      this.#unsent--;
      if (this.#unsent === 0 && !this.#hasEnded) this.#events.drained();
    });
  }

  close(): void {
    this.#end({ cause: "closed", message: `the stream to ${this.#address} was closed by this agent` });
  }

  #awaitReady(): void {
    const channel = this.#client.getChannel();
    const state = channel.getConnectivityState(true);
    if (this.#hasEnded) return;
    if (state === connectivityState.READY) {
      this.#events.connected();
      return;
    }
    // Ends with the channel: `close` makes it SHUTDOWN, which calls back with an error.
    channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, (error) => {
      if (error === undefined || error === null) this.#awaitReady();
    });
  }

  #end(end: StreamEnd): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    // An error after the end is the end's echo.
    this.#call.on("error", () => undefined);
    this.#call.cancel();
    this.#client.close();
    this.#events.ended(end);
  }
}
