/** The last binds of host processes to NodePorts that the guard refused, as the programs left them in a ring. Pure. */
import { nameBytesMax, nameLayout, nameOfCode, protocolCodes, refusedBindLayout, refusedBindsMax } from "./layout.ts";
import type { ProtocolName } from "../../plan/frontend.ts";

export interface RefusedBind {
  readonly port: number;
  readonly protocol: ProtocolName;
  /** "ns/name:port"; undefined: gone since. */
  readonly servicePort: string | undefined;
  readonly pid: number;
  readonly command: string;
}

export interface RefusedBindArrays {
  readonly ring: ArrayBufferLike;
  readonly count: ArrayBufferLike;
  readonly names: ArrayBufferLike;
}

export class RefusedBinds {
  readonly #arrays: RefusedBindArrays;
  readonly #count: BigUint64Array;
  readonly #ring: DataView;
  readonly #decoder = new TextDecoder();
  #taken: bigint;

  /** Begins with what is refused from now on. */
  constructor(arrays: RefusedBindArrays) {
    this.#arrays = arrays;
    this.#count = new BigUint64Array(arrays.count);
    this.#ring = new DataView(arrays.ring);
    this.#taken = this.#count[0] ?? 0n;
  }

  /** Those since the last call; of more than the ring holds the last ones. */
  take(): RefusedBind[] {
    const last = this.#count[0] ?? 0n;
    const oldest = last - BigInt(refusedBindsMax) + 1n;
    const found: RefusedBind[] = [];
    let number = this.#taken + 1n < oldest ? oldest : this.#taken + 1n;
    for (; number <= last; number++) {
      const at = Number(number % BigInt(refusedBindsMax)) * refusedBindLayout.size;
      const written = this.#ring.getBigUint64(at + refusedBindLayout.number, true);
      // A program is about to write it: next time.
      if (written < number) break;
      if (written === number) found.push(this.#read(at));
    }
    this.#taken = number - 1n;
    return found;
  }

  #read(at: number): RefusedBind {
    const command = new Uint8Array(this.#arrays.ring, at + refusedBindLayout.command, 16);
    const end = command.indexOf(0);
    return {
      port: this.#ring.getUint16(at + refusedBindLayout.port, true),
      protocol: nameOfCode(protocolCodes, this.#ring.getUint8(at + refusedBindLayout.protocol)) ?? "TCP",
      servicePort: this.#name(at),
      pid: this.#ring.getUint32(at + refusedBindLayout.pid, true),
      command: this.#decoder.decode(command.slice(0, end < 0 ? command.length : end)),
    };
  }

  // The index may be of another service port by now: the id tells.
  #name(at: number): string | undefined {
    const names = new DataView(this.#arrays.names);
    const name = this.#ring.getUint32(at + refusedBindLayout.name, true) * nameLayout.size;
    const id = this.#ring.getBigUint64(at + refusedBindLayout.service_port, true);
    if (names.getBigUint64(name + nameLayout.id, true) !== id) return undefined;
    const length = Math.min(names.getUint16(name + nameLayout.length, true), nameBytesMax);
    return this.#decoder.decode(new Uint8Array(this.#arrays.names, name + nameLayout.text, length).slice());
  }
}
