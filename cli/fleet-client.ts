/** `weft.fleet.v1` as a client over grpc-js: the one place of this package that knows gRPC. */
import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { Client, connectivityState, type ClientOptions } from "@grpc/grpc-js";
import {
  ConfirmRemovalRequestSchema,
  FleetService,
  GetStateRequestSchema,
  GetStatusRequestSchema,
  GetTraceRequestSchema,
  WaitRequestSchema,
  WatchRevisionsRequestSchema,
  WatchStatusRequestSchema,
  type ConfirmRemovalResponse,
  type GetStateResponse,
  type GetStatusResponse,
  type GetTraceResponse,
  type WaitRequestSchema as WaitRequestDescriptor,
  type WaitResponse,
  type WatchRevisionsResponse,
  type WatchStatusResponse,
} from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { methodDefinition } from "@weft/proto/grpc/service.ts";
import { clientCredentials } from "@weft/proto/program/credentials.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { createLog } from "@weft/proto/program/log.ts";
import { printHostPort, type HostPort } from "@weft/proto/program/socket-address.ts";
import { clientSecurity, type clientTlsFlags } from "@weft/proto/program/tls-flags.ts";
import type { Values } from "@weft/proto/program/flags.ts";
import { isServiceError, toProgramError } from "./fleet-error.ts";

export type RemoteValues = { readonly controlplane?: HostPort | undefined } & Values<typeof clientTlsFlags>;

/** For name, TCP and TLS together, and for the answer of a call that is answered at once. */
export const answerMsMax = 10_000;
/** The whole state of 5,000 nodes is one message. */
const messageBytesMax = 64 * 1_024 * 1_024;

const options: ClientOptions = {
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // A half-open connection of a watch or a wait ends after 30 s.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.enable_retries": 0,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
  "grpc.service_config_disable_resolution": 1,
};

export class FleetClient implements Disposable {
  /** HOST:PORT. */
  readonly target: string;
  readonly #client: Client;
  readonly #signal: AbortSignal;
  readonly #closed = new AbortController();

  private constructor(target: string, client: Client, signal: AbortSignal, closed: AbortController) {
    this.target = target;
    this.#client = client;
    this.#signal = signal;
    this.#closed = closed;
  }

  /** Dials nothing yet. @throws ProgramError for certificates that cannot be read. */
  static connect(values: RemoteValues, signal: AbortSignal): FleetClient {
    const { controlplane } = values;
    if (controlplane === undefined)
      throw new ProgramError("usage", "no control plane", { remedy: "give --controlplane HOST:PORT" });
    const target = printHostPort(controlplane);
    const closed = new AbortController();
    const log = createLog({ logLevel: "warn", logFormat: "text" });
    const { credentials, channelOptions } = clientCredentials(clientSecurity(values), { log, signal: closed.signal });
    return new FleetClient(target, new Client(target, credentials, { ...options, ...channelOptions }), signal, closed);
  }

  /** @throws ProgramError */
  async getStatus(withoutNodes = false): Promise<GetStatusResponse> {
    return await this.#ask(FleetService.method.getStatus, create(GetStatusRequestSchema, { withoutNodes }));
  }

  /** @throws ProgramError */
  async getTrace(request: MessageInitShape<typeof GetTraceRequestSchema>): Promise<GetTraceResponse> {
    return await this.#ask(FleetService.method.getTrace, create(GetTraceRequestSchema, request));
  }

  /** @throws ProgramError */
  async confirmRemoval(): Promise<ConfirmRemovalResponse> {
    return await this.#ask(FleetService.method.confirmRemoval, create(ConfirmRemovalRequestSchema));
  }

  watchStatus(): AsyncIterable<WatchStatusResponse> {
    return this.#stream(FleetService.method.watchStatus, create(WatchStatusRequestSchema));
  }

  watchRevisions(past: number): AsyncIterable<WatchRevisionsResponse> {
    return this.#stream(FleetService.method.watchRevisions, create(WatchRevisionsRequestSchema, { past }));
  }

  /** Ends by itself after `deadlineMs` as an error DEADLINE_EXCEEDED. */
  wait(request: MessageInitShape<typeof WaitRequestDescriptor>, deadlineMs: number): AsyncIterable<WaitResponse> {
    return this.#stream(FleetService.method.wait, create(WaitRequestSchema, request), deadlineMs);
  }

  getState(node: string): AsyncIterable<GetStateResponse> {
    return this.#stream(FleetService.method.getState, create(GetStateRequestSchema, { node }));
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
    this.#client.close();
  }

  async #ask<I extends DescMessage, O extends DescMessage>(
    method: Parameters<typeof methodDefinition<I, O>>[0],
    request: MessageShape<I>,
  ): Promise<MessageShape<O>> {
    let answer: MessageShape<O> | undefined;
    // To its end: who leaves before the status resets the call, and a server ends a connection with many resets.
    for await (const response of this.#stream(method, request, answerMsMax)) answer ??= response;
    if (answer !== undefined) return answer;
    throw new ProgramError("failed", `control plane ${this.target} gave no answer`, { remedy: "ask again" });
  }

  // Throws ProgramError with grpc-js's error as its cause.
  async *#stream<I extends DescMessage, O extends DescMessage>(
    method: Parameters<typeof methodDefinition<I, O>>[0],
    request: MessageShape<I>,
    deadlineMs?: number,
  ): AsyncGenerator<MessageShape<O>> {
    await this.#dial();
    // A listener on a signal that has fired already is never called.
    if (this.#signal.aborted) throw interrupted();
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const callOptions = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      callOptions,
    );
    const cancel = (): void => call.cancel();
    this.#signal.addEventListener("abort", cancel, { once: true });
    try {
      for await (const message of call) yield message as MessageShape<O>;
    } catch (error) {
      if (this.#signal.aborted) throw interrupted(error);
      throw isServiceError(error) ? toProgramError(error, this.target) : error;
    } finally {
      this.#signal.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  // Until the connection stands or failed once, when a call tells why, or nobody wants it any more. A host that swallows packets would take minutes.
  async #dial(): Promise<void> {
    const channel = this.#client.getChannel();
    const deadlineMs = Date.now() + answerMsMax;
    while (!this.#signal.aborted) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY || state === connectivityState.TRANSIENT_FAILURE) return;
      const { promise, resolve } = Promise.withResolvers<Error | undefined>();
      const interrupt = (): void => resolve(undefined);
      this.#signal.addEventListener("abort", interrupt, { once: true });
      channel.watchConnectivityState(state, deadlineMs, resolve);
      const change = await promise;
      this.#signal.removeEventListener("abort", interrupt);
      if (change === undefined) continue;
      throw new ProgramError(
        "unreachable",
        `control plane ${this.target} did not answer within ${answerMsMax / 1_000} s`,
        {
          remedy: "check --controlplane, the network between, and firewalls",
          cause: change,
        },
      );
    }
  }
}

function interrupted(cause?: unknown): ProgramError {
  return new ProgramError("failed", "interrupted", { remedy: "", cause });
}
