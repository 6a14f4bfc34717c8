/** Counts the gRPC messages of one stream, whatever pieces they come in. Pure. */
const headerBytes = 5;

export class MessageCounter {
  #header = Buffer.alloc(headerBytes);
  #headerGot = 0;
  #left = 0;

  /** How many ended in `bytes`. */
  count(bytes: Buffer): number {
    let ended = 0;
    for (let at = 0; at < bytes.length;) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, bytes.length - at);
        at += taken;
        this.#left -= taken;
        if (this.#left === 0) ended++;
        continue;
      }
      this.#header[this.#headerGot++] = bytes[at++] ?? 0;
      if (this.#headerGot < headerBytes) continue;
      this.#headerGot = 0;
      this.#left = this.#header.readUInt32BE(1);
    }
    return ended;
  }
}
