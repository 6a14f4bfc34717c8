/** What one connection of an agent may cost. */
export interface Http2Bounds {
  /** Calls at a time. */
  readonly callsMax: number;
  /** Calls that may be opened at once, whatever becomes of them, and so many more with each second. */
  readonly opensMax: number;
  readonly opensPerSecond: number;
  /** Frames that carry no message, at once and with each second; each frame of data that is sent earns some. */
  readonly framesMax: number;
  readonly framesPerSecond: number;
  readonly framesPerSent: number;
  /** Headers of one call: in the form that they are sent in, as HTTP/2 counts them, and how many. */
  readonly headerBlockBytesMax: number;
  readonly headerListBytesMax: number;
  readonly headerPairsMax: number;
  /** What may wait to be sent, without messages: answers that the client does not read. */
  readonly unsentBytesMax: number;
  /** What is kept of a connection until it is known whether its first call is served here. */
  readonly heldBytesMax: number;
  /** The first call comes so soon, or is not served here. */
  readonly openingMs: number;
  /** A connection without a call is ended after this. */
  readonly idleMs: number;
}

export const http2Bounds: Http2Bounds = {
  callsMax: 16,
  opensMax: 128,
  opensPerSecond: 33,
  framesMax: 4_096,
  framesPerSecond: 1_000,
  framesPerSent: 4,
  headerBlockBytesMax: 16 * 1_024,
  headerListBytesMax: 16 * 1_024,
  headerPairsMax: 64,
  unsentBytesMax: 1_024 * 1_024,
  heldBytesMax: 128 * 1_024,
  openingMs: 1_000,
  idleMs: 20_000,
};
