/** For tests: a client of `weft.fleet.v1` over real grpc-js. */
import { create } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Client, credentials, status } from "@grpc/grpc-js";
import type { ChannelCredentials, ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { FleetService } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { FleetStatus, GetStateRequestSchema, WaitRequestSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { WaitResult } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { methodDefinition } from "@weft/proto/grpc/service.ts";

type Method<I extends DescMessage, O extends DescMessage> = DescMethod & { readonly input: I; readonly output: O };

/** The end of a call, as the name of its status and its details. */
export interface CallEnd {
  readonly status: string;
  readonly details: string;
}

export class FleetClient implements Disposable {
  readonly #client: Client;

  constructor(address: string, using: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Client(address, using, {
      // A connection of its own, as callers elsewhere have.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": -1,
    });
  }

  /** All messages of a call, and how it ended. `took` is told of each; false: no more are wanted. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    request: MessageInitShape<I>,
    took: (message: MessageShape<O>) => boolean = () => true,
  ): Promise<{ readonly messages: readonly MessageShape<O>[]; readonly end: CallEnd }> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const deserialize = responseDeserialize as (bytes: Buffer) => MessageShape<O>;
    const call: ClientReadableStream<MessageShape<O>> = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      deserialize,
      create(method.input, request) as MessageShape<I>,
    );
    const messages: MessageShape<O>[] = [];
    return await new Promise((resolve) => {
      call.on("data", (message: MessageShape<O>) => {
        messages.push(message);
        if (!took(message)) call.cancel();
      });
      call.on("error", (error: ServiceError) => {
        resolve({ messages, end: { status: status[error.code] ?? "", details: error.details } });
      });
      call.on("end", () => resolve({ messages, end: { status: "OK", details: "" } }));
    });
  }

  async status(): Promise<FleetStatus> {
    const { messages, end } = await this.call(FleetService.method.getStatus, {});
    const found = messages[0]?.status;
    if (found === undefined) throw new Error(`GetStatus: ${end.status} ${end.details}`);
    return found;
  }

  /** `noted` is called for each note as it comes. */
  async wait(
    request: MessageInitShape<typeof WaitRequestSchema>,
    noted: (note: string) => void = () => undefined,
  ): Promise<{ readonly result: WaitResult | undefined; readonly end: CallEnd }> {
    let result: WaitResult | undefined;
    const { end } = await this.call(FleetService.method.wait, request, ({ event }) => {
      if (event.case === "note") noted(event.value);
      if (event.case === "result") result = event.value;
      return true;
    });
    return { result, end };
  }

  async state(request: MessageInitShape<typeof GetStateRequestSchema>) {
    return await this.call(FleetService.method.getState, request);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
