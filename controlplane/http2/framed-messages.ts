/**
 * Messages as they go over a connection, made once for all calls that send the same: a broadcast writes the same bytes to one call
 * after the other, agents that come at once are sent the same snapshot, and the only call of a connection has the same id in all
 * of them.
 */
import { frameHeaderBytes, frameType, payloadBytesMax, writeFrameHeader } from "./frames.ts";
import { messageHeaderBytes } from "./message-reader.ts";

/** The first call of a connection, and the only one of an agent that stays. */
const sharedId = 1;

let lastId = 0;
let lastMessage: Uint8Array | undefined;
let lastFramed: Buffer = Buffer.alloc(0);

/** Larger ones get memory of their own: a client that is stuck with one would pin all that lies beside it in a pool of Node, 64 KiB. */
const pooledBytesMax = 1_024;

/** One DATA frame. @param message At most `payloadBytesMax` with its header. */
export function framedMessage(id: number, message: Uint8Array): Buffer {
  if (message === lastMessage && id === lastId) return lastFramed;
  const payloadBytes = messageHeaderBytes + message.length;
  const bytes = frameHeaderBytes + payloadBytes;
  const framed = bytes > pooledBytesMax ? Buffer.allocUnsafeSlow(bytes) : Buffer.allocUnsafe(bytes);
  writeFrameHeader(framed, 0, payloadBytes, frameType.data, 0, id);
  writeMessageHeader(framed, frameHeaderBytes, message);
  framed.set(message, frameHeaderBytes + messageHeaderBytes);
  lastId = id;
  lastMessage = message;
  lastFramed = framed;
  return framed;
}

const framedWhole = new WeakMap<Uint8Array, Buffer>();

/**
 * Whole frames of a large message, without a copy.
 * @param at Of the message and its header: what was sent.
 * @param bytesMax Of these: what may be sent.
 * @returns undefined: it is not shared, or what may be sent is not even one frame as it was made.
 */
export function wholeFrames(
  id: number,
  message: Uint8Array,
  at: number,
  bytesMax: number,
): { readonly frames: Buffer; readonly bytes: number } | undefined {
  if (id !== sharedId || at % payloadBytesMax !== 0) return undefined;
  const left = messageHeaderBytes + message.length - at;
  const bytes = bytesMax >= left ? left : bytesMax - (bytesMax % payloadBytesMax);
  if (bytes === 0) return undefined;
  let framed = framedWhole.get(message);
  if (framed === undefined) {
    framed = framedInParts(message);
    framedWhole.set(message, framed);
  }
  const from = (at / payloadBytesMax) * (payloadBytesMax + frameHeaderBytes);
  const headers = Math.ceil(bytes / payloadBytesMax) * frameHeaderBytes;
  return { frames: framed.subarray(from, from + bytes + headers), bytes };
}

export function messageHeader(message: Uint8Array): Buffer {
  const header = Buffer.allocUnsafe(messageHeaderBytes);
  writeMessageHeader(header, 0, message);
  return header;
}

// Not compressed.
function writeMessageHeader(into: Buffer, at: number, message: Uint8Array): void {
  into[at] = 0;
  into.writeUInt32BE(message.length, at + 1);
}

function framedInParts(message: Uint8Array): Buffer {
  const end = messageHeaderBytes + message.length;
  const framed = Buffer.allocUnsafeSlow(end + Math.ceil(end / payloadBytesMax) * frameHeaderBytes);
  let to = 0;
  for (let at = 0; at < end; at += payloadBytesMax) {
    const length = Math.min(payloadBytesMax, end - at);
    writeFrameHeader(framed, to, length, frameType.data, 0, sharedId);
    to += frameHeaderBytes;
    if (at === 0) writeMessageHeader(framed, to, message);
    const piece = message.subarray(Math.max(0, at - messageHeaderBytes), at + length - messageHeaderBytes);
    framed.set(piece, to + length - piece.length);
    to += length;
  }
  return framed;
}
