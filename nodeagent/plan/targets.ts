/**
 * Where connections may go, a few bytes each: as objects 250,000 of them were a quarter of an agent's heap, and with what was read on
 * the way to them most of the garbage of its start. Pure.
 */
import { addressFromBytes, copyAddressBytes, mappedBytes, type Address } from "@weft/proto/address.ts";

/** Where a connection may go. */
export interface Target {
  readonly address: Address;
  readonly port: number;
}

const ipv4Bytes = 4;
const ipv6Bytes = 16;
const portBytes = 2;
const ipv4PortCount = 65_536;

let scratch = Buffer.alloc(4_096);

/** A list of targets. Immutable; frontends of one service port share one. */
export class Targets implements Iterable<Target> {
  static readonly none: Targets = new Targets("", 0);

  readonly length: number;
  /**
   * Each one's address, 4 bytes if all are IPv4, else 16, and port in network order, a character for each byte: a text costs 16 bytes
   * over its content, and is compared at once.
   */
  readonly packed: string;

  private constructor(packed: string, length: number) {
    this.packed = packed;
    this.length = length;
  }

  static of(list: readonly Target[]): Targets {
    if (list.length === 0) return Targets.none;
    const addressSize = list.some(({ address }) => address.includes(":")) ? ipv6Bytes : ipv4Bytes;
    const bytes = room(list.length * (addressSize + portBytes));
    let at = 0;
    for (const { address, port } of list) {
      if (addressSize === ipv4Bytes) copyAddressBytes(address, bytes, at);
      else bytes.set(mappedBytes(address), at);
      at = bytes.writeUInt16BE(port, at + addressSize);
    }
    return new Targets(bytes.toString("latin1", 0, at), list.length);
  }

  /** The first `count` of `keys`, each address * 65,536 + port. */
  static ofIPv4(keys: Float64Array, count: number): Targets {
    if (count === 0) return Targets.none;
    const bytes = room(count * (ipv4Bytes + portBytes));
    let at = 0;
    for (let i = 0; i < count; i++) {
      const key = keys[i] ?? 0;
      const address = Math.floor(key / ipv4PortCount);
      const port = key - address * ipv4PortCount;
      bytes[at] = address >>> 24;
      bytes[at + 1] = address >>> 16;
      bytes[at + 2] = address >>> 8;
      bytes[at + 3] = address;
      bytes[at + 4] = port >> 8;
      bytes[at + 5] = port;
      at += ipv4Bytes + portBytes;
    }
    return new Targets(bytes.toString("latin1", 0, at), count);
  }

  /** `count` of them in `bytes` from `at` on, `stride` bytes from one to the next: 16 of the address, IPv4 mapped, and the port. */
  static fromMapped(bytes: Uint8Array, at: number, count: number, stride: number): Targets {
    if (count === 0) return Targets.none;
    let isIPv4 = true;
    for (let i = 0; i < count && isIPv4; i++) isIPv4 = isMapped(bytes, at + i * stride);
    const skipped = isIPv4 ? ipv6Bytes - ipv4Bytes : 0;
    const size = ipv6Bytes + portBytes - skipped;
    const packed = room(count * size);
    let to = 0;
    for (let i = 0; i < count; i++) {
      const from = at + i * stride + skipped;
      for (let n = 0; n < size; n++) packed[to++] = bytes[from + n] ?? 0;
    }
    return new Targets(packed.toString("latin1", 0, to), count);
  }

  at(index: number): Target {
    if (index < 0 || index >= this.length) throw new RangeError(`no target ${index} of ${this.length}`);
    const size = this.packed.length / this.length;
    const bytes = Buffer.from(this.packed.slice(index * size, (index + 1) * size), "latin1");
    return {
      address: addressFromBytes(bytes.subarray(0, size - portBytes)),
      port: bytes.readUInt16BE(size - portBytes),
    };
  }

  /** Writes one as `fromMapped` reads it: 18 bytes. */
  writeMapped(index: number, into: Uint8Array, at: number): void {
    const size = this.packed.length / this.length;
    const skipped = ipv6Bytes + portBytes - size;
    if (skipped > 0) {
      // A call of `fill` takes longer.
      for (let i = 0; i < 10; i++) into[at + i] = 0;
      into[at + 10] = 0xff;
      into[at + 11] = 0xff;
    }
    const from = index * size;
    for (let i = 0; i < size; i++) into[at + skipped + i] = this.packed.charCodeAt(from + i);
  }

  /** The same targets in the same order. */
  equals(other: Targets): boolean {
    return this === other || (this.length === other.length && this.packed === other.packed);
  }

  map<T>(each: (target: Target) => T): T[] {
    return Array.from({ length: this.length }, (_, i) => each(this.at(i)));
  }

  *[Symbol.iterator](): Generator<Target, undefined> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }
}

// Valid until it is asked for again.
function room(size: number): Buffer {
  if (size > scratch.length) scratch = Buffer.alloc(size * 2);
  return scratch;
}

function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}
