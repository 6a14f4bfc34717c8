/**
 * What grpc-js 1.14 (pinned) does not offer in public: why it ended a call by itself, a way to end a call whose reader is stuck,
 * and bounds of one call. All are found on the object inside a call; if it does not look as expected the calls still work,
 * without these. `discovery-service.test.ts`, `broken-rules.test.ts` and `bad-input.test.ts` fail if grpc-js changes.
 */
import type { ServerDuplexStream, StatusObject } from "@grpc/grpc-js";

type Call = Pick<ServerDuplexStream<unknown, unknown>, "destroy">;

interface InnerCall {
  sendStatus(status: Partial<StatusObject>): void;
  readonly stream?: { close(code: number): void };
  readonly decoder?: { maxReadMessageLength?: unknown };
  incomingEncoding?: unknown;
}

const http2Cancel = 8;

/** `ended` gets the status of calls that grpc-js ends by itself too, such as one with a message over the limit. */
export function watchStatus(call: Call, ended: (status: Partial<StatusObject>) => void): void {
  const inner = innerOf(call);
  if (inner === undefined) return;
  const sendStatus = inner.sendStatus.bind(inner);
  inner.sendStatus = (status) => {
    ended(status);
    sendStatus(status);
  };
}

/** Resets the HTTP/2 stream: what was not read by the other end is dropped, others on its connection go on. */
export function resetCall(call: Call): void {
  innerOf(call)?.stream?.close(http2Cancel);
  call.destroy();
}

/** Largest message that the call may receive from now on, below the server's limit. */
export function limitMessage(call: Call, bytesMax: number): void {
  const decoder = innerOf(call)?.decoder;
  if (typeof decoder?.maxReadMessageLength === "number") decoder.maxReadMessageLength = bytesMax;
}

/** Refuses compressed messages. grpc-js would start a decompressor for each: a frame of 16 KiB holds thousands of empty ones. */
export function refuseCompressed(call: Call): void {
  const inner = innerOf(call);
  if (typeof inner?.incomingEncoding === "string") inner.incomingEncoding = "none that is accepted";
}

function innerOf(call: object): InnerCall | undefined {
  const inner: unknown = Reflect.get(call, "call");
  const isExpected =
    typeof inner === "object" && inner !== null && "sendStatus" in inner && typeof inner.sendStatus === "function";
  return isExpected ? (inner as InnerCall) : undefined;
}
