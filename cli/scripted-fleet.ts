/** A control plane's fleet service that answers as a test says, on a real port. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import {
  ConfirmRemovalResponseSchema,
  FleetService,
  GetStateResponseSchema,
  GetStatusResponseSchema,
  GetTraceResponseSchema,
  WaitResponseSchema,
  WatchRevisionsResponseSchema,
  WatchStatusResponseSchema,
  type GetStateRequest,
  type GetStatusRequest,
  type GetTraceRequest,
  type WaitRequest,
  type WatchRevisionsRequest,
} from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { serviceDefinition } from "@weft/proto/grpc/service.ts";

/** What is thrown becomes the status of the call. */
export class Refusal extends Error {
  readonly code: number;

  constructor(code: number, details: string) {
    super(details);
    this.code = code;
  }
}

type Stream<S extends Parameters<typeof create>[0]> =
  | AsyncIterable<MessageInitShape<S>>
  | Iterable<MessageInitShape<S>>;

/** Calls that are not scripted are refused as UNIMPLEMENTED. */
export interface Script {
  readonly getStatus?: (request: GetStatusRequest) => MessageInitShape<typeof GetStatusResponseSchema>;
  readonly getTrace?: (request: GetTraceRequest) => MessageInitShape<typeof GetTraceResponseSchema>;
  readonly confirmRemoval?: () => MessageInitShape<typeof ConfirmRemovalResponseSchema>;
  readonly watchStatus?: () => Stream<typeof WatchStatusResponseSchema>;
  readonly watchRevisions?: (request: WatchRevisionsRequest) => Stream<typeof WatchRevisionsResponseSchema>;
  /** The signal aborts when the caller is gone. */
  readonly wait?: (request: WaitRequest, signal: AbortSignal) => Stream<typeof WaitResponseSchema>;
  readonly getState?: (request: GetStateRequest) => Stream<typeof GetStateResponseSchema>;
}

export interface ScriptedFleet extends Disposable {
  readonly port: number;
  /** Ends every connection at once and frees the port. */
  kill(): void;
}

/** @param port 0: any */
export async function scriptedFleet(
  script: Script,
  port = 0,
  credentials = ServerCredentials.createInsecure(),
): Promise<ScriptedFleet> {
  const server = new Server();
  server.addService(serviceDefinition(FleetService), {
    getStatus: (call: ServerUnaryCall<GetStatusRequest, unknown>, answer: sendUnaryData<unknown>) => {
      try {
        answer(null, create(GetStatusResponseSchema, required(script.getStatus)(call.request)));
      } catch (error) {
        answer(refusalOf(error));
      }
    },
    getTrace: (call: ServerUnaryCall<GetTraceRequest, unknown>, answer: sendUnaryData<unknown>) => {
      try {
        answer(null, create(GetTraceResponseSchema, required(script.getTrace)(call.request)));
      } catch (error) {
        answer(refusalOf(error));
      }
    },
    confirmRemoval: (_: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => {
      try {
        answer(null, create(ConfirmRemovalResponseSchema, required(script.confirmRemoval)()));
      } catch (error) {
        answer(refusalOf(error));
      }
    },
    watchStatus: (call: Call) => void pour(call, WatchStatusResponseSchema, () => required(script.watchStatus)()),
    watchRevisions: (call: Call<WatchRevisionsRequest>) =>
      void pour(call, WatchRevisionsResponseSchema, () => required(script.watchRevisions)(call.request)),
    wait: (call: Call<WaitRequest>) =>
      void pour(call, WaitResponseSchema, (signal) => required(script.wait)(call.request, signal)),
    getState: (call: Call<GetStateRequest>) =>
      void pour(call, GetStateResponseSchema, () => required(script.getState)(call.request)),
  });
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, onPort) =>
      error === null ? resolve(onPort) : reject(error),
    );
  });
  const kill = (): void => server.forceShutdown();
  return { port: bound, kill, [Symbol.dispose]: kill };
}

type Call<Request = unknown> = ServerWritableStream<Request, unknown>;

async function pour<S extends Parameters<typeof create>[0]>(
  call: Call,
  schema: S,
  messages: (signal: AbortSignal) => Stream<S>,
): Promise<void> {
  const gone = new AbortController();
  call.on("cancelled", () => gone.abort());
  try {
    for await (const message of messages(gone.signal)) {
      if (gone.signal.aborted) return;
      call.write(create(schema, message));
    }
    call.end();
  } catch (error) {
    call.emit("error", refusalOf(error));
  }
}

function required<T>(scripted: T | undefined): T {
  if (scripted === undefined) throw new Refusal(status.UNIMPLEMENTED, "not scripted");
  return scripted;
}

function refusalOf(error: unknown): { readonly code: number; readonly details: string } {
  if (error instanceof Refusal) return { code: error.code, details: error.message };
  return { code: status.INTERNAL, details: String(error) };
}
