/** What is true of every frame of its type: sizes, and whether it concerns one call or all. */
import {
  ConnectionError,
  errorCode,
  frameFlag,
  frameType,
  payloadBytesMax,
  setting,
  windowBytesMax,
} from "./frames.ts";
import type { Frame } from "./frame-reader.ts";

interface Rule {
  readonly name: string;
  readonly of: "call" | "connection" | "either";
  /** Undefined: any. */
  readonly bytes: number | undefined;
}

const rules: ReadonlyMap<number, Rule> = new Map([
  [frameType.data, { name: "DATA", of: "call", bytes: undefined }],
  [frameType.headers, { name: "HEADERS", of: "call", bytes: undefined }],
  [frameType.priority, { name: "PRIORITY", of: "call", bytes: 5 }],
  [frameType.reset, { name: "RST_STREAM", of: "call", bytes: 4 }],
  [frameType.settings, { name: "SETTINGS", of: "connection", bytes: undefined }],
  [frameType.ping, { name: "PING", of: "connection", bytes: 8 }],
  [frameType.goaway, { name: "GOAWAY", of: "connection", bytes: undefined }],
  [frameType.windowUpdate, { name: "WINDOW_UPDATE", of: "either", bytes: 4 }],
  [frameType.continuation, { name: "CONTINUATION", of: "call", bytes: undefined }],
]);

const settingBytes = 6;
const frameSizeMax = 2 ** 24 - 1;

/** Types that are not known follow no rule. @throws ConnectionError */
export function checkFrame({ type, flags, stream, payload }: Frame): void {
  if (type === frameType.pushPromise) throw new ConnectionError(errorCode.protocol, "a client that pushes");
  const rule = rules.get(type);
  if (rule === undefined) return;
  if ((rule.of === "call" && stream === 0) || (rule.of === "connection" && stream !== 0)) {
    throw new ConnectionError(errorCode.protocol, `${rule.name} of stream ${stream}`);
  }
  const isGoodSize = rule.bytes === undefined || payload.length === rule.bytes;
  const isGoodSettings =
    type !== frameType.settings || payload.length % ((flags & frameFlag.ack) === 0 ? settingBytes : Infinity) === 0;
  if (!isGoodSize || !isGoodSettings) {
    throw new ConnectionError(errorCode.frameSize, `${rule.name} of ${payload.length} bytes`);
  }
}

/** The settings of a SETTINGS frame. @throws ConnectionError one is not in its range. */
export function readSettings(payload: Buffer): readonly (readonly [id: number, value: number])[] {
  const settings: [number, number][] = [];
  for (let at = 0; at < payload.length; at += settingBytes) {
    settings.push([payload.readUInt16BE(at), payload.readUInt32BE(at + 2)]);
  }
  for (const [id, value] of settings) {
    if (id === setting.initialWindowSize && value > windowBytesMax) {
      throw new ConnectionError(errorCode.flowControl, `a window of ${value} bytes`);
    }
    const isFrameSize = value >= payloadBytesMax && value <= frameSizeMax;
    if ((id === setting.enablePush && value > 1) || (id === setting.maxFrameSize && !isFrameSize)) {
      throw new ConnectionError(errorCode.protocol, `setting ${id} of ${value}`);
    }
  }
  return settings;
}

/** @throws ConnectionError */
export function withoutPadding({ flags, payload }: Frame): Buffer {
  if ((flags & frameFlag.padded) === 0) return payload;
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length) {
    throw new ConnectionError(errorCode.protocol, "padding that is longer than its frame");
  }
  return payload.subarray(1, payload.length - padding);
}

/** Of a call or of the connection. */
export const emptyGrant = "WINDOW_UPDATE of nothing";
export const largeGrant = "a window that is too large";

export function tooMuch(): ConnectionError {
  return new ConnectionError(errorCode.flowControl, "more data than was granted");
}
