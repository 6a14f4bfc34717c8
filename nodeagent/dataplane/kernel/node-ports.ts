/**
 * Which NodePorts are allocated, for the guard of bind(): a port counts while any address serves it. Not part of the atomic step:
 * written right after it, and again from what is live when maps are adopted. Pure.
 */
import type { Descriptor } from "./descriptor-store.ts";
import type { ElementKey } from "./element-key.ts";
import { frontendKeyLayout, nodePortLayout, portsMax, protocolCodes } from "./layout.ts";
import type { Meaning } from "./state-store.ts";

const wordsPerSlot = nodePortLayout.size / 4;

export class NodePorts {
  /** By slot (TCP, then UDP) and word: the first is the index of a name. */
  readonly #words: Uint32Array;
  /** By slot: how many addresses serve it. */
  readonly #counts = new Map<number, number>();
  /** By slot: what its word says. */
  readonly #names = new Map<number, number>();

  constructor(nodePorts: ArrayBufferLike) {
    this.#words = new Uint32Array(nodePorts);
  }

  /** A state leads to something else than before. */
  moved({ map, bytes }: ElementKey, before: Meaning, after: Meaning): void {
    if (map !== "frontends" || (!isNodePort(before) && !isNodePort(after))) return;
    const port = ((bytes[frontendKeyLayout.port] ?? 0) << 8) | (bytes[frontendKeyLayout.port + 1] ?? 0);
    const slot = port + (bytes[frontendKeyLayout.protocol] === protocolCodes.UDP ? portsMax : 0);
    const count = (this.#counts.get(slot) ?? 0) + Number(isNodePort(after)) - Number(isNodePort(before));
    if (count > 0) this.#counts.set(slot, count);
    else this.#counts.delete(slot);
    if (count <= 0) this.#write(slot, 0);
    else if (isNodePort(after)) this.#write(slot, after?.name?.index ?? 0);
  }

  /** Slots whose word was not as written, and is again. */
  restore(): number[] {
    const restored: number[] = [];
    for (let slot = 0; slot < 2 * portsMax; slot++) {
      const wanted = this.#names.get(slot) ?? 0;
      if (this.#words[slot * wordsPerSlot] === wanted) continue;
      this.#words[slot * wordsPerSlot] = wanted;
      restored.push(slot);
    }
    return restored;
  }

  /** What an earlier agent left and nothing serves. */
  clearOthers(): void {
    for (let slot = 0; slot < 2 * portsMax; slot++) {
      const at = slot * wordsPerSlot;
      if (this.#words[at] !== 0 && !this.#counts.has(slot)) this.#words[at] = 0;
    }
  }

  #write(slot: number, name: number): void {
    if (name === 0) this.#names.delete(slot);
    else this.#names.set(slot, name);
    this.#words[slot * wordsPerSlot] = name;
  }
}

function isNodePort(of: Descriptor | undefined): boolean {
  return of?.content.kind === "NodePort";
}
