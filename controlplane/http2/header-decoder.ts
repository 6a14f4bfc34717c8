/** Header blocks: HPACK, https://www.rfc-editor.org/rfc/rfc7541. One decoder per connection, since blocks refer to earlier ones. */
import { ConnectionError, errorCode } from "./frames.ts";
import { decodeHuffman } from "./huffman.ts";

export type Header = readonly [name: string, value: string];

export interface HeaderBounds {
  /** Of one block: the sum of names and values, and 32 for each header. */
  readonly listBytesMax: number;
  readonly pairsMax: number;
}

/** SETTINGS_HEADER_TABLE_SIZE where nobody asks for another. */
const tableBytesMax = 4_096;
/** https://www.rfc-editor.org/rfc/rfc7541#section-4.1 */
const overheadBytes = 32;

const staticTable: readonly Header[] = [
  ":authority",
  ":method=GET",
  ":method=POST",
  ":path=/",
  ":path=/index.html",
  ":scheme=http",
  ":scheme=https",
  ":status=200",
  ":status=204",
  ":status=206",
  ":status=304",
  ":status=400",
  ":status=404",
  ":status=500",
  "accept-charset",
  "accept-encoding=gzip, deflate",
  ..."accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control".split(
    " ",
  ),
  ..."content-disposition content-encoding content-language content-length content-location content-range".split(" "),
  ..."content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range".split(
    " ",
  ),
  ..."if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization".split(" "),
  ..."range referer refresh retry-after server set-cookie strict-transport-security transfer-encoding".split(" "),
  ..."user-agent vary via www-authenticate".split(" "),
].map((entry) => {
  const [name = "", value = ""] = entry.split("=");
  return [name, value];
});

/** The first block of a connection, and what it leaves behind. */
interface FirstBlock {
  readonly block: Uint8Array;
  readonly bounds: HeaderBounds;
  readonly headers: readonly Header[] | undefined;
  readonly table: readonly Header[];
  readonly tableBytes: number;
  readonly tableMax: number;
}

// Agents begin with the same bytes as each other: when thousands come at once these are read once.
let lastFirst: FirstBlock | undefined;

const noBytes = new Uint8Array(0);

export class HeaderDecoder {
  readonly #bounds: HeaderBounds;
  // The newest first.
  #table: Header[] = [];
  #tableBytes = 0;
  #tableMax = tableBytesMax;
  #block: Uint8Array = noBytes;
  #at = 0;
  #isFirst = true;

  constructor(bounds: HeaderBounds) {
    this.#bounds = bounds;
  }

  /**
   * Undefined: more than the bounds allow. The block was read all the same, so that later ones can be.
   * @throws ConnectionError the block cannot be read, nor can any later one.
   */
  decode(block: Uint8Array): readonly Header[] | undefined {
    if (!this.#isFirst) return this.#read(block);
    this.#isFirst = false;
    const { listBytesMax, pairsMax } = this.#bounds;
    if (
      lastFirst !== undefined &&
      lastFirst.bounds.listBytesMax === listBytesMax &&
      lastFirst.bounds.pairsMax === pairsMax &&
      Buffer.compare(lastFirst.block, block) === 0
    ) {
      this.#table = [...lastFirst.table];
      this.#tableBytes = lastFirst.tableBytes;
      this.#tableMax = lastFirst.tableMax;
      return lastFirst.headers;
    }
    const headers = this.#read(block);
    lastFirst = {
      block: Uint8Array.from(block),
      bounds: this.#bounds,
      headers,
      table: [...this.#table],
      tableBytes: this.#tableBytes,
      tableMax: this.#tableMax,
    };
    return headers;
  }

  #read(block: Uint8Array): readonly Header[] | undefined {
    this.#block = block;
    this.#at = 0;
    const headers: Header[] = [];
    let bytes = 0;
    let pairs = 0;
    const add = (header: Header): void => {
      bytes += sizeOf(header);
      pairs++;
      if (bytes <= this.#bounds.listBytesMax && pairs <= this.#bounds.pairsMax) headers.push(header);
    };
    while (this.#at < block.length) {
      const byte = block[this.#at] ?? 0;
      if (byte >= 0x80) {
        add(this.#entry(this.#readNumber(7)));
      } else if (byte >= 0x40) {
        const header = this.#readLiteral(6);
        this.#insert(header);
        add(header);
      } else if (byte >= 0x20) {
        if (pairs > 0) throw broken("a change of the table's size after a header");
        this.#resize(this.#readNumber(5));
      } else {
        add(this.#readLiteral(4));
      }
    }
    return headers.length === pairs ? headers : undefined;
  }

  #entry(index: number): Header {
    const header = index <= staticTable.length ? staticTable[index - 1] : this.#table[index - staticTable.length - 1];
    if (header === undefined) throw broken(`no header has the index ${index}`);
    return header;
  }

  #readLiteral(prefixBits: number): Header {
    const index = this.#readNumber(prefixBits);
    const name = index === 0 ? this.#readText() : this.#entry(index)[0];
    return [name, this.#readText()];
  }

  #insert(header: Header): void {
    const bytes = sizeOf(header);
    this.#evict(this.#tableMax - bytes);
    if (bytes > this.#tableMax) return;
    this.#table.unshift(header);
    this.#tableBytes += bytes;
  }

  #resize(bytes: number): void {
    if (bytes > tableBytesMax) throw broken(`a table of ${bytes} bytes; ${tableBytesMax} are kept`);
    this.#tableMax = bytes;
    this.#evict(bytes);
  }

  #evict(downTo: number): void {
    while (this.#tableBytes > downTo) {
      const oldest = this.#table.pop();
      if (oldest === undefined) return;
      this.#tableBytes -= sizeOf(oldest);
    }
  }

  #readNumber(prefixBits: number): number {
    const prefixMax = 2 ** prefixBits - 1;
    let value = this.#readByte() & prefixMax;
    if (value < prefixMax) return value;
    // Nothing that is good needs more than 2^21.
    for (let shift = 0; shift <= 14; shift += 7) {
      const byte = this.#readByte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw broken("a number beyond 2 million");
  }

  #readText(): string {
    const isHuffman = (this.#block[this.#at] ?? 0) >= 0x80;
    const length = this.#readNumber(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw broken("a header beyond its block");
    const bytes = this.#block.subarray(this.#at, end);
    this.#at = end;
    return isHuffman ? decodeHuffman(bytes) : Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("latin1");
  }

  #readByte(): number {
    const byte = this.#block[this.#at++];
    if (byte === undefined) throw broken("a block that ends within a header");
    return byte;
  }
}

function sizeOf([name, value]: Header): number {
  return name.length + value.length + overheadBytes;
}

function broken(what: string): ConnectionError {
  return new ConnectionError(errorCode.compression, `headers cannot be read: ${what}`);
}
