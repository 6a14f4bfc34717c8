/**
 * A connection of an agent: the server side of HTTP/2 (https://www.rfc-editor.org/rfc/rfc9113) as far as gRPC needs it. It serves calls of
 * one kind. If the first call of a connection is of another kind, or does not come soon, the connection is passed on as if nothing
 * had been read or written: so the client's settings are not acknowledged before it is decided.
 *
 * Phases: "opening" until the first call is known; then "serving"; or "passing" until the client has acknowledged our settings,
 * which whoever takes the connection next does not know of, then "passed"; "over" once it is lost or given up.
 */
import type { Socket } from "node:net";
import { Allowance } from "./allowance.ts";
import { Http2Call } from "./call.ts";
import type { Carrier } from "./call.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import { ConnectionError, errorCode, frame, frameFlag, frameHeaderBytes, frameType, goawayFrame } from "./frames.ts";
import { initialWindowBytes, resetFrame, setting, settingsAck } from "./frames.ts";
import { payloadBytesMax, windowBytesMax, windowUpdateFrame, type ErrorCode } from "./frames.ts";
import { FrameReader } from "./frame-reader.ts";
import type { Frame } from "./frame-reader.ts";
import { checkFrame, emptyGrant, largeGrant, readSettings, tooMuch, withoutPadding } from "./frame-rules.ts";
import { HeaderBlocks } from "./header-block.ts";
import type { CallHeaders } from "./header-block.ts";
import { isRequest } from "./header-rules.ts";
import { settingsOf } from "./our-settings.ts";
import { HeldFrames } from "./held-frames.ts";
import { readNoMore, readQuickly, writeQuickly } from "./quick-socket.ts";
import { ReceiveWindow } from "./receive-window.ts";

/** Of what concerns all calls. */
const connectionId = 0;

export class Connection implements Carrier {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #reader = new FrameReader();
  readonly #blocks: HeaderBlocks;
  readonly #frames: Allowance;
  readonly #opens: Allowance;
  readonly #calls = new Map<number, Http2Call>();
  // The call, if there is one and no other.
  #only: Http2Call | undefined;
  // Takes the socket as if nothing of it had been read.
  readonly #passTo: (socket: Socket) => void;
  #phase: "opening" | "serving" | "passing" | "passed" | "over" = "opening";
  #held: HeldFrames | undefined;
  #hasSettings = false;
  #settingsToAck = 0;
  #areSettingsAcked = false;
  #highest = 0;
  #highestServed = 0;
  #hasGoneAway = false;
  #isOverfull = false;
  #idleSinceMs: number;
  // While it reads, answers wait: they go out with the next message, or at the end.
  #isReading = false;
  #answers: Uint8Array[] = [];
  readonly #receiveWindow = new ReceiveWindow();
  window = initialWindowBytes;
  callWindow = initialWindowBytes;

  /** @param pass Takes a socket of which nothing was read, as far as can be seen. */
  constructor(socket: Socket, options: ConnectionOptions, pass: (socket: Socket) => void) {
    this.#socket = socket;
    this.#passTo = pass;
    this.#options = options;
    const { bounds } = options;
    const nowMs = options.now();
    this.#blocks = new HeaderBlocks(bounds);
    this.#frames = new Allowance(bounds.framesMax, bounds.framesPerSecond, nowMs);
    this.#opens = new Allowance(bounds.opensMax, bounds.opensPerSecond, nowMs);
    this.#held = new HeldFrames(bounds.heldBytesMax);
    this.#idleSinceMs = nowMs;
  }

  /** @param first What was read of the socket already. */
  start(first: Buffer): void {
    readQuickly(this.#socket, this.#onData);
    this.#socket.on("close", this.#onClose);
    this.#socket.on("error", ignore);
    this.#socket.write(settingsOf(this.#options.bounds));
    if (first.length > 0) this.#onData(first);
  }

  /** Ends it if it has been without a call for too long. A client that waits for an answer to its settings is passed on. */
  tick(nowMs: number): void {
    const { idleMs, openingMs } = this.#options.bounds;
    if (this.#calls.size > 0) return;
    const isIdle = nowMs - this.#idleSinceMs > idleMs;
    // It does not even read why it was ended.
    if (isIdle && this.#phase === "over") this.#socket.destroy();
    else if (isIdle) this.#end(errorCode.none, "there is no call");
    else if (this.#phase === "opening" && this.#hasSettings && nowMs - this.#idleSinceMs > openingMs) this.#passOn();
  }

  /** The client opens no more calls here; those that it has go on, and the last of them ends the connection. */
  goAway(): void {
    if (this.#calls.size > 0) this.#sayGoaway();
    else this.#end(errorCode.none, "the server ends");
  }

  // ---- for calls

  write(bytes: Uint8Array, done?: (error?: Error | null) => void): void {
    this.#frames.earn(this.#options.bounds.framesPerSent * Math.ceil(bytes.length / payloadBytesMax));
    const answers = this.#answers;
    if (answers.length > 0) this.#answers = [];
    writeQuickly(this.#socket, answers.length > 0 ? Buffer.concat([...answers, bytes]) : bytes, done);
  }

  answer(bytes: Uint8Array): void {
    this.#answers.push(bytes);
    if (!this.#isReading) this.#sendAnswers();
  }

  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  consumed(bytes: number): void {
    const granted = this.#receiveWindow.read(bytes);
    if (granted > 0) this.answer(windowUpdateFrame(connectionId, granted));
  }

  left(call: Http2Call): void {
    this.#calls.delete(call.id);
    const [first] = this.#calls.values();
    this.#only = this.#calls.size === 1 ? first : undefined;
    if (this.#calls.size > 0) return;
    this.#idleSinceMs = this.#options.now();
    if (!this.#hasGoneAway) return;
    if (this.#answers.length > 0) this.#sendAnswers();
    this.#socket.destroySoon();
  }

  // ---- reading

  readonly #onData = (bytes: Buffer): void => {
    this.#isReading = true;
    try {
      if (this.#readMessage(bytes)) return;
      this.#reader.push(bytes);
      while (this.#phase !== "passed" && this.#phase !== "over") {
        const next = this.#reader.next();
        if (next === undefined) return;
        this.#read(next);
      }
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#end(error.code, error.message);
    } finally {
      this.#isReading = false;
      if (this.#answers.length > 0) this.#sendAnswers();
    }
  };

  readonly #onClose = (): void => {
    if (this.#isOverfull && this.#phase !== "over") this.#blame("it does not read what it is answered");
    this.#phase = "over";
    for (const call of this.#calls.values()) call.over();
    this.#options.left(this);
  };

  // What comes most: one frame of data, of the only call. False: it is something else.
  #readMessage(bytes: Buffer): boolean {
    const call = this.#only;
    if (call === undefined || !this.#reader.isBetweenFrames || this.#blocks.isWithin) return false;
    if (bytes.length <= frameHeaderBytes || bytes.length > frameHeaderBytes + payloadBytesMax) return false;
    const isData =
      bytes[3] === frameType.data &&
      bytes[4] === 0 &&
      bytes.readUIntBE(0, 3) === bytes.length - frameHeaderBytes &&
      bytes.readUInt32BE(5) === call.id;
    if (!isData || call.isReceivingOver) return false;
    const payload = bytes.subarray(frameHeaderBytes);
    this.#came(payload.length);
    if (!call.data(payload, 0, false)) throw tooMuch();
    return true;
  }

  #read(of: Frame): void {
    const { type, flags, payload } = of;
    const isAck = type === frameType.settings && (flags & frameFlag.ack) !== 0;
    if (!this.#hasSettings && (type !== frameType.settings || isAck)) {
      throw new ConnectionError(errorCode.protocol, "the first frame is not SETTINGS");
    }
    // Padding is as good as nothing.
    const hasMessage = type === frameType.data && payload.length > 0 && (flags & frameFlag.padded) === 0;
    if (!hasMessage && !this.#frames.take(this.#options.now)) {
      throw new ConnectionError(errorCode.enhanceYourCalm, "too many frames without a message");
    }
    checkFrame(of);
    if (this.#phase === "passing") {
      // Headers are not read any more: whoever takes the connection checks their order.
      if (isAck && !this.#areSettingsAcked) this.#pass();
      else this.#held?.hold(of);
      return;
    }
    this.#blocks.check(of);
    switch (type) {
      case frameType.data:
        this.#readData(of);
        return;
      case frameType.headers:
      case frameType.continuation: {
        this.#held?.hold(of);
        const read = this.#blocks.read(of);
        if (read !== undefined) this.#readHeaders(read);
        return;
      }
      case frameType.reset:
        this.#known(of.stream)?.over();
        return;
      case frameType.settings:
        this.#readSettings(of);
        return;
      case frameType.ping:
        if ((flags & frameFlag.ack) === 0) this.answer(frame(frameType.ping, frameFlag.ack, connectionId, payload));
        return;
      case frameType.windowUpdate:
        this.#held?.hold(of);
        this.#readWindowUpdate(of);
        return;
      // Priorities are of no use here. After GOAWAY a client opens no more calls. Types that are not known are passed over.
    }
  }

  #readSettings(of: Frame): void {
    if ((of.flags & frameFlag.ack) !== 0) {
      this.#areSettingsAcked = true;
      return;
    }
    const settings = readSettings(of.payload);
    this.#hasSettings = true;
    // Before what follows from them.
    if (this.#held === undefined) {
      this.answer(settingsAck);
    } else {
      this.#held.hold(of);
      this.#settingsToAck++;
    }
    for (const [id, value] of settings) if (id === setting.initialWindowSize) this.#grantCalls(value);
  }

  #grantCalls(window: number): void {
    const more = window - this.callWindow;
    this.callWindow = window;
    for (const call of this.#calls.values()) {
      if (!call.granted(more)) throw new ConnectionError(errorCode.flowControl, largeGrant);
    }
  }

  #readWindowUpdate({ stream, payload }: Frame): void {
    const more = payload.readUInt32BE(0) & windowBytesMax;
    if (stream !== connectionId) {
      const call = this.#known(stream);
      if (more === 0) call?.reset(errorCode.protocol, emptyGrant);
      else if (call?.granted(more) === false) call.reset(errorCode.flowControl, largeGrant);
      return;
    }
    if (more === 0) throw new ConnectionError(errorCode.protocol, emptyGrant);
    this.window += more;
    if (this.window > windowBytesMax) throw new ConnectionError(errorCode.flowControl, largeGrant);
    for (const call of this.#calls.values()) call.pump();
  }

  #readData(of: Frame): void {
    const { flags, stream, payload } = of;
    const call = this.#known(stream);
    this.#came(payload.length);
    if (call === undefined || call.isReceivingOver) {
      // On its way when the call ended, or sent after its end.
      this.consumed(payload.length);
      call?.reset(errorCode.streamClosed, "DATA after its end");
      return;
    }
    const data = withoutPadding(of);
    if (!call.data(data, payload.length - data.length, (flags & frameFlag.endStream) !== 0)) throw tooMuch();
  }

  #came(bytes: number): void {
    if (!this.#receiveWindow.came(bytes)) throw tooMuch();
  }

  // Undefined: the call is over.
  #known(stream: number): Http2Call | undefined {
    if (stream > this.#highest) {
      throw new ConnectionError(errorCode.protocol, `stream ${stream} was not opened`);
    }
    return this.#calls.get(stream);
  }

  // ---- calls

  #readHeaders({ stream, isLast, headers }: CallHeaders): void {
    const present = this.#calls.get(stream);
    if (present !== undefined) {
      // Trailers: gRPC has none that come from a client.
      if (isLast && !present.isReceivingOver) present.data(nothing, 0, true);
      else present.reset(errorCode.protocol, "HEADERS that are neither its first nor its end");
      return;
    }
    if (stream % 2 === 0 || stream <= this.#highest) {
      throw new ConnectionError(errorCode.protocol, `stream ${stream} cannot be opened`);
    }
    this.#highest = stream;
    const isGood = headers !== undefined && isRequest(headers);
    const isServed = isGood && this.#options.serves(headers);
    if (this.#phase === "opening") {
      if (headers !== undefined && !isServed) {
        this.#passOn();
        return;
      }
      this.#phase = "serving";
      this.#held = undefined;
      for (; this.#settingsToAck > 0; this.#settingsToAck--) this.answer(settingsAck);
    }
    if (!this.#opens.take(this.#options.now)) {
      throw new ConnectionError(errorCode.enhanceYourCalm, "too many calls in a short time");
    }
    if (!isGood) {
      this.answer(resetFrame(stream, headers === undefined ? errorCode.enhanceYourCalm : errorCode.protocol));
      return;
    }
    // A client opens it again on another connection, which then is passed on.
    if (!isServed) this.#sayGoaway();
    if (this.#hasGoneAway || this.#calls.size >= this.#options.bounds.callsMax) {
      this.answer(resetFrame(stream, errorCode.refusedStream));
      return;
    }
    this.#highestServed = stream;
    const call = new Http2Call(stream, this, this.#options.messageBytesMax, "encrypted" in this.#socket);
    this.#calls.set(stream, call);
    this.#only = this.#calls.size === 1 ? call : undefined;
    call.serve(this.#options.open(call, this.#socket));
    if (isLast) call.data(nothing, 0, true);
  }

  #passOn(): void {
    this.#phase = "passing";
    if (this.#areSettingsAcked) this.#pass();
  }

  #pass(): void {
    if (this.#answers.length > 0) this.#sendAnswers();
    this.#phase = "passed";
    const socket = this.#socket;
    readNoMore(socket, this.#onData);
    socket.off("close", this.#onClose);
    socket.pause();
    const held = this.#held?.followedBy(this.#reader.rest());
    if (held !== undefined) socket.unshift(held);
    this.#held = undefined;
    this.#options.left(this);
    this.#passTo(socket);
    socket.off("error", ignore);
  }

  // ---- writing

  #sendAnswers(): void {
    const answers = this.#answers;
    this.#answers = [];
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(Buffer.concat(answers));
    // Its last batch may be larger; answers to a client that reads are not that many.
    this.#isOverfull = this.#socket.writableLength > this.#options.bounds.unsentBytesMax;
    if (this.#isOverfull) this.#socket.destroy();
  }

  #blame(details: string): void {
    if (this.#calls.size === 0) this.#options.refused(this.#socket, details);
    for (const call of this.#calls.values()) call.broken(details);
  }

  #sayGoaway(): void {
    if (this.#hasGoneAway) return;
    this.#hasGoneAway = true;
    this.answer(goawayFrame(this.#highestServed, errorCode.none, ""));
  }

  #end(code: ErrorCode, message: string): void {
    if (this.#phase === "over" || this.#phase === "passed") return;
    this.#phase = "over";
    // Who reads nothing learns nothing.
    const isStuck = this.#socket.writableLength > 0;
    if (code !== errorCode.none) this.#blame(message);
    this.#answers.push(goawayFrame(this.#highestServed, code, message));
    this.#sendAnswers();
    for (const call of this.#calls.values()) call.over();
    if (isStuck) this.#socket.destroy();
    else this.#socket.destroySoon();
  }
}

const nothing = Buffer.alloc(0);
// "close" follows.
const ignore = (): void => undefined;
