/**
 * One call of an agent, which is one stream of HTTP/2: messages in both directions, within the windows of both sides
 * (https://www.rfc-editor.org/rfc/rfc9113#section-5). What the other side has no window for is not copied: it stays where the message is.
 */
import { errorCode, frame, frameFlag, frameHeaderBytes, frameType, payloadBytesMax } from "./frames.ts";
import { resetFrame, windowBytesMax, windowUpdateFrame, writeFrameHeader } from "./frames.ts";
import type { ErrorCode } from "./frames.ts";
import { framedMessage, messageHeader, wholeFrames } from "./framed-messages.ts";
import { responseHeaders, trailers } from "./headers.ts";
import { MessageReader, messageHeaderBytes } from "./message-reader.ts";
import type { Unreadable } from "./message-reader.ts";
import { ReceiveWindow } from "./receive-window.ts";

/** What serves a call. */
export interface CallInput {
  received(message: Uint8Array): void;
  /** What was sent cannot be read, nor what comes after it. */
  unreadable(why: Unreadable | BrokenConnection): void;
  /** The client has sent all that it will send. */
  finished(): void;
  /** The call is over for both sides. Once, and never within a method of the call. */
  closed(): void;
}

/** The client broke the rules of HTTP/2, or a bound: its call ends, or its connection. */
export interface BrokenConnection {
  readonly kind: "connection";
  readonly details: string;
}

/** What a call needs of its connection. */
export interface Carrier {
  /** Bytes of data that may be sent on the connection now. */
  window: number;
  /** What the client grants each new call. */
  readonly callWindow: number;
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): void;
  /** What may wait until all that came is read. */
  answer(bytes: Uint8Array): void;
  /** Writes of this turn go out as one. */
  cork(): void;
  uncork(): void;
  /** So many bytes of data were read. */
  consumed(bytes: number): void;
  left(call: Http2Call): void;
}

interface Outgoing {
  readonly message: Uint8Array;
  readonly written: () => void;
  /** Of the message and its header: how much was handed to the socket. */
  at: number;
}

/** Handed to the socket at a time: what a stuck client pins beyond the message itself. */
const batchBytesMax = 256 * 1_024;
/**
 * The same by TLS, where Node keeps a buffer for the largest write of a connection until that ends: with 256 KiB 5,000 agents that had come
 * with nothing left 2.1 GB resident, with these 1.0.
 */
const encryptedBatchBytesMax = 2 * payloadBytesMax;
/** Any number of clients may be stuck behind messages up to this size, by TLS with one frame each; larger ones take turns. */
const commonMessageBytesMax = 64 * 1_024;

export class Http2Call {
  readonly id: number;
  readonly #carrier: Carrier;
  readonly #reader: MessageReader;
  readonly #isEncrypted: boolean;
  #input: CallInput | undefined;
  // What is to be sent; the first one is being sent, if it did not go out at once.
  #outgoing: Outgoing[] = [];
  #isBatchOut = false;
  #window: number;
  #hasHeaders = false;
  #trailers: Uint8Array | undefined;
  #isSendingOver = false;
  #isReceivingOver = false;
  #isPaused = false;
  #hasFinished = false;
  #isOver = false;
  readonly #receiveWindow = new ReceiveWindow();

  /** @param isEncrypted What is handed to the socket becomes bytes of its own, which a stuck client pins. */
  constructor(id: number, carrier: Carrier, messageBytesMax: number, isEncrypted: boolean) {
    this.id = id;
    this.#carrier = carrier;
    this.#reader = new MessageReader(messageBytesMax);
    this.#window = carrier.callWindow;
    this.#isEncrypted = isEncrypted;
  }

  /** Before anything is received. */
  serve(input: CallInput): void {
    this.#input = input;
  }

  /** Largest message that may be received from now on. */
  limitMessages(bytesMax: number): void {
    this.#reader.bytesMax = bytesMax;
  }

  /** What comes stays in the client's window, and then with the client. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#deliver();
  }

  /** `written`: once all of it is on its way; never if the call is over before. */
  write(message: Uint8Array, written: () => void): void {
    if (this.#isSendingOver || this.#trailers !== undefined) return;
    const bytes = messageHeaderBytes + message.length;
    const isAtOnce =
      this.#outgoing.length === 0 && bytes <= payloadBytesMax && bytes <= this.#window && bytes <= this.#carrier.window;
    if (!isAtOnce) {
      this.#outgoing.push({ message, written, at: 0 });
      this.pump();
      return;
    }
    this.#spend(bytes);
    const framed = framedMessage(this.id, message);
    const done = (error?: Error | null): void => {
      if (!this.#isOver && (error === undefined || error === null)) written();
    };
    this.#carrier.write(this.#hasHeaders ? framed : Buffer.concat([this.#headers(), framed]), done);
  }

  /** Ends the call with a status, after what was written. @param code of gRPC. */
  end(code: number, message: string): void {
    if (this.#isSendingOver || this.#trailers !== undefined) return;
    this.#trailers = trailers(code, message);
    this.pump();
  }

  /** Ends the call at once; what was not sent yet is dropped. @param fault The rule that the client broke. */
  reset(code: ErrorCode = errorCode.cancel, fault?: string): void {
    if (this.#isOver) return;
    if (fault !== undefined) this.broken(fault);
    this.#carrier.answer(resetFrame(this.id, code));
    this.over();
  }

  // ---- what the connection says

  /** Data of the client. @param padding Bytes that came with it. @returns false: it is more than was granted. */
  data(payload: Uint8Array, padding: number, isLast: boolean): boolean {
    if (!this.#receiveWindow.came(payload.length + padding)) return false;
    if (isLast) this.#isReceivingOver = true;
    if (padding > 0) this.#consumed(padding);
    if (this.#isSendingOver) {
      this.#consumed(payload.length);
      if (isLast) this.over();
      return true;
    }
    this.#reader.push(payload);
    this.#deliver();
    return true;
  }

  get isReceivingOver(): boolean {
    return this.#isReceivingOver;
  }

  /** It is about to end, and the client is to blame. */
  broken(details: string): void {
    if (!this.#isOver) this.#input?.unreadable({ kind: "connection", details });
  }

  /** The client grants more, or less. @returns false: more than there can be. */
  granted(bytes: number): boolean {
    this.#window += bytes;
    if (this.#window > windowBytesMax) return false;
    this.pump();
    return true;
  }

  /** Sends what may be sent now. */
  pump(): void {
    while (!this.#isBatchOut && !this.#isSendingOver) {
      const next = this.#outgoing[0];
      if (next === undefined) break;
      if (!this.#sendBatch(next)) return;
    }
    if (this.#trailers === undefined || this.#outgoing.length > 0 || this.#isSendingOver) return;
    this.#isSendingOver = true;
    const head = this.#hasHeaders ? emptyBuffer : responseHeaders;
    const block = Buffer.concat([head, this.#trailers]);
    const flags = frameFlag.endHeaders | frameFlag.endStream;
    this.#carrier.write(frame(frameType.headers, flags, this.id, block));
    this.#carrier.consumed(this.#reader.drop());
    if (this.#isReceivingOver) this.over();
  }

  /** Nothing comes or goes any more. */
  over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isSendingOver = true;
    this.#outgoing = [];
    // Else the other calls of the connection could be sent that much less, for ever.
    this.#carrier.consumed(this.#reader.drop());
    this.#carrier.left(this);
    // It may be over before `serve`.
    queueMicrotask(() => this.#input?.closed());
  }

  // ---- receiving

  #deliver(): void {
    // What is dropped on the way is not counted here again.
    let bytes = 0;
    while (!this.#isPaused && !this.#isSendingOver && this.#trailers === undefined) {
      const before = this.#reader.unread;
      const read = this.#reader.next();
      bytes += before - this.#reader.unread;
      if (read.kind === "more") break;
      if (read.kind === "message") {
        this.#input?.received(read.message);
        continue;
      }
      this.#isPaused = true;
      this.#input?.unreadable(read);
    }
    this.#consumed(bytes);
    if (!this.#isReceivingOver || this.#hasFinished || this.#isPaused || this.#isOver) return;
    this.#hasFinished = true;
    this.#input?.finished();
  }

  #consumed(bytes: number): void {
    if (bytes === 0) return;
    this.#carrier.consumed(bytes);
    const granted = this.#receiveWindow.read(bytes);
    if (granted > 0 && !this.#isReceivingOver && !this.#isOver) {
      this.#carrier.answer(windowUpdateFrame(this.id, granted));
    }
  }

  // ---- sending

  #spend(bytes: number): void {
    this.#window -= bytes;
    this.#carrier.window -= bytes;
  }

  #headers(): Buffer {
    this.#hasHeaders = true;
    return frame(frameType.headers, frameFlag.endHeaders, this.id, responseHeaders);
  }

  // False: there is no window for more of it.
  #sendBatch(outgoing: Outgoing): boolean {
    const { message } = outgoing;
    const end = messageHeaderBytes + message.length;
    const batch = Math.min(end - outgoing.at, this.#window, this.#carrier.window, this.#batchBytesMax(message));
    if (batch <= 0) return false;
    const batchEnd = outgoing.at + batch;
    this.#isBatchOut = true;
    this.#carrier.cork();
    if (!this.#hasHeaders) this.#carrier.write(this.#headers());
    while (outgoing.at < batchEnd) {
      const { at } = outgoing;
      const whole = wholeFrames(this.id, message, at, batchEnd - at);
      // After a window that ended within a frame: up to where those begin that are shared.
      const bytes = whole?.bytes ?? Math.min(payloadBytesMax - (at % payloadBytesMax), batchEnd - at);
      this.#spend(bytes);
      outgoing.at += bytes;
      const done = outgoing.at === batchEnd ? (error?: Error | null) => this.#batchDone(outgoing, error) : undefined;
      if (whole === undefined) this.#sendFrame(message, at, bytes, done);
      else this.#carrier.write(whole.frames, done);
    }
    this.#carrier.uncork();
    return true;
  }

  #batchBytesMax(message: Uint8Array): number {
    if (!this.#isEncrypted) return batchBytesMax;
    return message.length <= commonMessageBytesMax ? payloadBytesMax : encryptedBatchBytesMax;
  }

  #sendFrame(message: Uint8Array, at: number, bytes: number, done?: (error?: Error | null) => void): void {
    const head = Buffer.allocUnsafe(frameHeaderBytes + Math.max(0, Math.min(bytes, messageHeaderBytes - at)));
    writeFrameHeader(head, 0, bytes, frameType.data, 0, this.id);
    if (at < messageHeaderBytes) messageHeader(message).copy(head, frameHeaderBytes, at);
    // A window may end within the message's header.
    const piece = message.subarray(Math.max(0, at - messageHeaderBytes), Math.max(0, at + bytes - messageHeaderBytes));
    if (piece.length === 0) {
      this.#carrier.write(head, done);
      return;
    }
    this.#carrier.write(head);
    this.#carrier.write(piece, done);
  }

  #batchDone(outgoing: Outgoing, error: Error | null | undefined): void {
    this.#isBatchOut = false;
    if (this.#isOver || (error !== undefined && error !== null)) return;
    if (outgoing.at === messageHeaderBytes + outgoing.message.length) {
      this.#outgoing.shift();
      outgoing.written();
    }
    this.pump();
  }
}

const emptyBuffer = Buffer.alloc(0);
