/**
 * Whether connected UDP sockets are left whose backend is gone (S31): while there are, their packets are checked. The programs
 * count such sockets by a hash of frontend and backend; what left is kept beside the counts, so that a restarted agent knows it. Pure.
 */
import type { Target } from "../../plan/targets.ts";
import { writeAddress } from "./address-codec.ts";
import { frontendKeyLayout, udpPeerLayout, udpPeersMax } from "./layout.ts";

/** What one UDP frontend gains and loses with a revision. */
export interface TargetMove {
  /** Key of its element. */
  readonly frontend: Uint8Array;
  readonly left: readonly Target[];
  readonly came: readonly Target[];
}

/** A connect() that chose under the old revision is counted by then: much more than a grace. */
const forgottenAfterMs = 1_000;
const wordsPerSlot = udpPeerLayout.size / 4;
const leftWord = udpPeerLayout.is_left / 4;

export class LeftPeers {
  readonly #words: Uint32Array;
  /** By slot: "frontend target" -> when it left. Empty: an earlier agent saw it leave. */
  readonly #left = new Map<number, Map<string, number>>();

  constructor(udpPeers: ArrayBufferLike) {
    this.#words = new Uint32Array(udpPeers);
    for (let slot = 0; slot < udpPeersMax; slot++) {
      if (this.#words[slot * wordsPerSlot + leftWord] !== 0) this.#left.set(slot, new Map());
    }
  }

  /** Before the activation. */
  moved(moves: Iterable<TargetMove>, nowMs: number): void {
    for (const { frontend, left, came } of moves) {
      for (const target of left) {
        const slot = slotOf(frontend, target);
        const known = this.#left.get(slot) ?? new Map<string, number>();
        this.#left.set(slot, known.set(nameOf(frontend, target), nowMs));
        this.#words[slot * wordsPerSlot + leftWord] = 1;
      }
      if (this.#left.size === 0) continue;
      for (const target of came) {
        const slot = slotOf(frontend, target);
        const known = this.#left.get(slot);
        if (known?.delete(nameOf(frontend, target)) === true && known.size === 0) this.#forget(slot);
      }
    }
  }

  /** Forgets those without sockets. True if some have any: packets must be checked. */
  review(nowMs: number): boolean {
    let hasSockets = false;
    for (const [slot, known] of this.#left) {
      if (this.#words[slot * wordsPerSlot] !== 0) hasSockets = true;
      else if (known.values().every((sinceMs) => nowMs - sinceMs > forgottenAfterMs)) this.#forget(slot);
    }
    return hasSockets;
  }

  #forget(slot: number): void {
    this.#left.delete(slot);
    this.#words[slot * wordsPerSlot + leftWord] = 0;
  }
}

/** As in bpf/peer.h: FNV-1a over addresses and ports as they lie in memory, a port being a word. */
export function slotOf(frontend: Uint8Array, { address, port }: Target): number {
  const bytes = new Uint8Array(40);
  bytes.set(frontend.subarray(0, frontendKeyLayout.protocol));
  writeAddress(address, bytes, 20);
  bytes[36] = port >> 8;
  bytes[37] = port & 255;
  const view = new DataView(bytes.buffer);
  let hash = 2_166_136_261;
  for (let at = 0; at < bytes.length; at += 4) hash = Math.imul(hash ^ view.getUint32(at, true), 16_777_619);
  return ((hash ^ (hash >>> 16)) >>> 0) % udpPeersMax;
}

function nameOf(frontend: Uint8Array, { address, port }: Target): string {
  return `${frontend.join(".")} ${address} ${port}`;
}
