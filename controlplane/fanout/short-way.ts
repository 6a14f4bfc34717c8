/**
 * The short way between a call and its HTTP/2 stream, for thousands of calls that carry one small message each at the same
 * moment. grpc-js 1.14 (pinned) passes every message through two object streams and copies what it sends; here a message that
 * goes to all is framed once, and one that comes whole is handed on at once: half of the CPU of a broadcast.
 *
 * What is used is not public. If a call does not look as expected, it goes the way of grpc-js, which `discovery-service.test.ts`
 * holds to the same rules; `short-way.test.ts` fails if grpc-js changes.
 */
import { Metadata } from "@grpc/grpc-js";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { ServerHttp2Stream } from "node:http2";

type Call<Message> = Pick<ServerDuplexStream<Message, Uint8Array>, "isPaused" | "readableLength">;
type Written = () => void;
export type Write = (message: Uint8Array, written: Written) => void;

/** `BaseServerInterceptingCall` of grpc-js, as far as it is used. */
interface InnerCall<Message> {
  readonly stream: ServerHttp2Stream;
  readonly decoder: { readonly readState: number; readonly maxReadMessageLength: number };
  readonly handler: { deserialize(message: Buffer): Message };
  readonly readQueue: readonly unknown[];
  readonly isReadPending: boolean;
  sendMetadata(metadata: Metadata): void;
  handleDataFrame(data: Buffer): void;
  checkCancelled(): boolean;
}

/** A flag (0: not compressed) and a length: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
const frameHeaderBytes = 5;
/** Larger messages are not copied behind their header. */
const copiedBytesMax = 4 * 1_024;
/** `ReadState.NO_DATA`: the decoder is between two messages. */
const betweenMessages = 0;

/**
 * Takes the short way of a call from now on, in both directions; what must go the long way still comes as its "data". Undefined:
 * there is none.
 */
export function shortWay<Message>(call: Call<Message>, received: (message: Message) => void): Write | undefined {
  const inner = innerOf<Message>(call);
  if (inner === undefined) return undefined;
  readShort(call, inner, received);
  return writeShort(inner);
}

function writeShort(inner: InnerCall<unknown>): Write {
  const { stream } = inner;
  let hasHeaders = false;
  return (message, written) => {
    if (stream.destroyed || stream.closed || stream.writableEnded) return;
    if (!hasHeaders) inner.sendMetadata(new Metadata());
    hasHeaders = true;
    const done = (error?: Error | null): void => {
      if (error === undefined || error === null) written();
    };
    if (message.length <= copiedBytesMax) {
      stream.write(framed(message), done);
      return;
    }
    stream.cork();
    stream.write(headerOf(message));
    stream.write(message, done);
    stream.uncork();
  };
}

// A broadcast writes the same bytes again and again.
let lastMessage: Uint8Array | undefined;
let lastFramed: Buffer = Buffer.alloc(0);

function framed(message: Uint8Array): Buffer {
  if (message === lastMessage) return lastFramed;
  lastMessage = message;
  lastFramed = Buffer.concat([headerOf(message), message]);
  return lastFramed;
}

function headerOf(message: Uint8Array): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt32BE(message.length, 1);
  return header;
}

// A frame that is one whole message needs none of what grpc-js does for others, if none of those is before it.
function readShort<Message>(
  call: Call<Message>,
  inner: InnerCall<Message>,
  received: (message: Message) => void,
): void {
  const long = inner.handleDataFrame.bind(inner);
  inner.handleDataFrame = (data) => {
    const length = data.length - frameHeaderBytes;
    const isShort =
      length >= 0 &&
      data[0] === 0 &&
      data.readUInt32BE(1) === length &&
      length <= inner.decoder.maxReadMessageLength &&
      inner.decoder.readState === betweenMessages &&
      inner.isReadPending &&
      inner.readQueue.length === 0 &&
      call.readableLength === 0 &&
      !call.isPaused() &&
      !inner.checkCancelled();
    if (isShort) received(inner.handler.deserialize(data.subarray(frameHeaderBytes)));
    else long(data);
  };
}

function innerOf<Message>(call: object): InnerCall<Message> | undefined {
  const inner: unknown = Reflect.get(call, "call");
  if (typeof inner !== "object" || inner === null) return undefined;
  const of = inner as Partial<Record<keyof InnerCall<Message>, unknown>>;
  const decoder = of.decoder as Partial<InnerCall<Message>["decoder"]> | undefined;
  const handler = of.handler as Partial<InnerCall<Message>["handler"]> | undefined;
  const stream = of.stream as Partial<InnerCall<Message>["stream"]> | undefined;
  const isExpected =
    typeof of.sendMetadata === "function" &&
    typeof of.handleDataFrame === "function" &&
    typeof of.checkCancelled === "function" &&
    typeof of.isReadPending === "boolean" &&
    Array.isArray(of.readQueue) &&
    typeof decoder?.readState === "number" &&
    typeof decoder.maxReadMessageLength === "number" &&
    typeof handler?.deserialize === "function" &&
    typeof stream?.write === "function" &&
    typeof stream.cork === "function";
  return isExpected ? (inner as InnerCall<Message>) : undefined;
}
