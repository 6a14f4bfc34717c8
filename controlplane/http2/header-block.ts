/** The headers of a call, which may come in several frames with nothing between them. */
import { ConnectionError, errorCode, frameFlag, frameType } from "./frames.ts";
import type { Frame } from "./frame-reader.ts";
import { HeaderDecoder } from "./header-decoder.ts";
import type { Header } from "./header-decoder.ts";
import type { Http2Bounds } from "./http2-bounds.ts";
import { withoutPadding } from "./frame-rules.ts";

export interface CallHeaders {
  readonly stream: number;
  /** The client sends nothing more on this stream. */
  readonly isLast: boolean;
  /** Undefined: they are more than the bounds allow. */
  readonly headers: readonly Header[] | undefined;
}

const priorityBytes = 5;

export class HeaderBlocks {
  readonly #bytesMax: number;
  readonly #decoder: HeaderDecoder;
  #begun: { readonly stream: number; readonly isLast: boolean; readonly parts: Buffer[]; bytes: number } | undefined;

  constructor(bounds: Http2Bounds) {
    this.#bytesMax = bounds.headerBlockBytesMax;
    this.#decoder = new HeaderDecoder({ listBytesMax: bounds.headerListBytesMax, pairsMax: bounds.headerPairsMax });
  }

  /** Headers have begun, and nothing else may come until they end. */
  get isWithin(): boolean {
    return this.#begun !== undefined;
  }

  /** @throws ConnectionError this frame may not come now. */
  check({ type, stream }: Frame): void {
    if (this.#begun === undefined) {
      if (type === frameType.continuation) throw new ConnectionError(errorCode.protocol, "CONTINUATION of nothing");
    } else if (type !== frameType.continuation || stream !== this.#begun.stream) {
      throw new ConnectionError(errorCode.protocol, "headers that do not end");
    }
  }

  /** @param frame HEADERS or CONTINUATION. @returns undefined: there is more to come. @throws ConnectionError */
  read(frame: Frame): CallHeaders | undefined {
    const { flags, stream } = frame;
    let bytes = frame.payload;
    if (this.#begun === undefined) {
      bytes = withoutPadding(frame);
      if ((flags & frameFlag.priority) !== 0) {
        if (bytes.length < priorityBytes) throw new ConnectionError(errorCode.frameSize, "a priority that is cut off");
        bytes = bytes.subarray(priorityBytes);
      }
      this.#begun = { stream, isLast: (flags & frameFlag.endStream) !== 0, parts: [], bytes: 0 };
    }
    const begun = this.#begun;
    begun.bytes += bytes.length;
    if (begun.bytes > this.#bytesMax) {
      throw new ConnectionError(errorCode.enhanceYourCalm, "headers that are too large");
    }
    if ((flags & frameFlag.endHeaders) === 0) {
      begun.parts.push(Buffer.from(bytes));
      return undefined;
    }
    this.#begun = undefined;
    const block = begun.parts.length === 0 ? bytes : Buffer.concat([...begun.parts, bytes]);
    return { stream, isLast: begun.isLast, headers: this.#decoder.decode(block) };
  }
}
