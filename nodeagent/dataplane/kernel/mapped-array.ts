/**
 * An array map as memory, of which only the part that was ever used is mapped: the kernel maps all pages of an array at once and
 * counts them as resident, 77 MB for the default sizes. Programs in the kernel see nothing of this.
 */
import { KernelError, mapShared, remapShared, reserveInstead, type Pointer } from "./libbpf.ts";

/** Mapped at once when more is needed: 30 us. A multiple of every page size. */
const stepBytes = 1 << 20;

export class MappedArray {
  readonly memory: ArrayBuffer;
  readonly #fd: number;
  readonly #address: Pointer;
  /** What was asked for. */
  #reachedBytes = 0;
  /** What is mapped: from here on reads give zeros, and a write ends the process. */
  #mappedBytes: number;

  /** All of it is mapped at first. */
  constructor(fd: number, byteLength: number) {
    this.#fd = fd;
    ({ address: this.#address, memory: this.memory } = mapShared(fd, byteLength, true));
    this.#mappedBytes = byteLength;
  }

  /** 0, or the errno: then nothing changed. */
  reach(endBytes: number): number {
    if (endBytes <= this.#reachedBytes) return 0;
    if (endBytes > this.memory.byteLength)
      throw new RangeError(`byte ${endBytes} of an array of ${this.memory.byteLength} bytes`);
    const errno = this.#map(endBytes);
    if (errno === 0) this.#reachedBytes = endBytes;
    return errno;
  }

  /** Unmaps what nobody asked for. */
  trim(): void {
    const end = wholeSteps(this.#reachedBytes);
    if (end >= this.#mappedBytes) return;
    // What is not given back stays usable.
    if (reserveInstead(this.#address, end, this.memory.byteLength) === 0) this.#mappedBytes = end;
  }

  /** Until the next `trim`. */
  mapAll(): void {
    const errno = this.#map(this.memory.byteLength);
    if (errno !== 0) throw new KernelError(errno, `map ${this.memory.byteLength} bytes of a BPF array again`);
  }

  #map(endBytes: number): number {
    if (endBytes <= this.#mappedBytes) return 0;
    const end = Math.min(wholeSteps(endBytes), this.memory.byteLength);
    const errno = remapShared(this.#address, this.#fd, this.#mappedBytes, end);
    if (errno === 0) this.#mappedBytes = end;
    return errno;
  }
}

function wholeSteps(bytes: number): number {
  return Math.ceil(bytes / stepBytes) * stepBytes;
}
