/** What a client may send, of one call or of a whole connection: https://www.rfc-editor.org/rfc/rfc9113#section-5.2 */
import { initialWindowBytes } from "./frames.ts";

/** Less is not granted again by itself. */
const grantBytesMin = initialWindowBytes >> 1;

export class ReceiveWindow {
  #left = initialWindowBytes;
  #read = 0;

  /** @returns false: the client sent more than it may. */
  came(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }

  /** So many bytes of what came are done with. @returns How many to grant again now. */
  read(bytes: number): number {
    this.#read += bytes;
    if (this.#read < grantBytesMin) return 0;
    const granted = this.#read;
    this.#left += granted;
    this.#read = 0;
    return granted;
  }
}
