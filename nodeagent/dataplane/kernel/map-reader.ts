/** Reads frontends back out of the mapped arrays, for adoption and for dumps. Pure. */
import type { Prefix } from "@weft/proto/address.ts";
import type { Frontend } from "../../plan/frontend.ts";
import { Targets } from "../../plan/targets.ts";
import { readAddress } from "./address-codec.ts";
import type { Pointers } from "./descriptor-store.ts";
import { elementKeyBytes, type Elements, type MappedArrays } from "./kernel-maps.ts";
import {
  actionCodes,
  backendLayout,
  descriptorLayout,
  frontendKeyLayout,
  kindCodes,
  nameBytesMax,
  nameLayout,
  nameOfCode,
  protocolCodes,
  scopeCodes,
} from "./layout.ts";
import { StateTable } from "./state-table.ts";

export class MapReader {
  readonly #arrays: MappedArrays;
  readonly #descriptors: DataView;
  readonly #backends: Uint8Array;
  readonly #names: Uint8Array;
  readonly #nameView: DataView;
  readonly #rangeSets: ReadonlyMap<number, readonly Prefix[]>;
  readonly #decoder = new TextDecoder();
  /** By base and count: frontends that share a range share the list. */
  readonly #ranges = new Map<string, Targets>();

  /** @param rangeSets what `readRangeSets` gives; without it a guarded frontend seems to allow nobody */
  constructor(arrays: MappedArrays, rangeSets: ReadonlyMap<number, readonly Prefix[]> = new Map()) {
    this.#arrays = arrays;
    this.#rangeSets = rangeSets;
    this.#descriptors = new DataView(arrays.descriptors);
    this.#backends = new Uint8Array(arrays.backends);
    this.#names = new Uint8Array(arrays.names);
    this.#nameView = new DataView(arrays.names);
  }

  /** What packets to these elements hit under `active`, in any order. */
  frontends({ keys, indices }: Elements, active: bigint): Frontend[] {
    const table = new StateTable(this.#arrays.states);
    const found: Frontend[] = [];
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] ?? 0;
      if (index >= table.size) continue;
      const key = keys.subarray(i * elementKeyBytes.frontends, (i + 1) * elementKeyBytes.frontends);
      const state = table.key(index);
      if (key.some((byte, at) => byte !== state[at])) continue;
      const frontend = this.frontend(key, table.chosen(index, active));
      if (frontend !== undefined) found.push(frontend);
    }
    return found;
  }

  /** Undefined if the descriptor is absent or says nothing that we write. */
  frontend(key: Uint8Array, descriptor: number): Frontend | undefined {
    const at = descriptor * descriptorLayout.size;
    if (descriptor === 0 || at >= this.#descriptors.byteLength) return undefined;
    const protocol = nameOfCode(protocolCodes, key[frontendKeyLayout.protocol] ?? 0);
    const scope = nameOfCode(scopeCodes, key[frontendKeyLayout.scope] ?? 0);
    const action = nameOfCode(actionCodes, this.#descriptors.getUint8(at + descriptorLayout.action));
    const kind = nameOfCode(kindCodes, this.#descriptors.getUint8(at + descriptorLayout.kind));
    if (protocol === undefined || scope === undefined || kind === undefined) return undefined;
    if (action === undefined || action === "pass") return undefined;
    const { base, name, rangeSet } = this.pointers(descriptor);
    const count = this.#descriptors.getUint32(at + descriptorLayout.backends_count, true);
    const targets = this.#targets(base, count);
    if (targets === undefined) return undefined;
    return {
      address: readAddress(key, frontendKeyLayout.address),
      port: ((key[frontendKeyLayout.port] ?? 0) << 8) | (key[frontendKeyLayout.port + 1] ?? 0),
      protocol,
      scope,
      kind,
      servicePort: this.#name(name),
      action,
      targets,
      affinitySeconds: this.#descriptors.getUint32(at + descriptorLayout.affinity_seconds, true),
      sourceRanges: rangeSet === 0 ? undefined : (this.#rangeSets.get(rangeSet) ?? []),
    };
  }

  pointers(descriptor: number): Pointers {
    const at = descriptor * descriptorLayout.size;
    return {
      base: this.#descriptors.getUint32(at + descriptorLayout.backends_base, true),
      name: this.#descriptors.getUint32(at + descriptorLayout.name, true),
      rangeSet: this.#descriptors.getUint32(at + descriptorLayout.range_set, true),
    };
  }

  revision(descriptor: number): number {
    const at = descriptor * descriptorLayout.size + descriptorLayout.revision;
    return this.#descriptors.getUint32(at, true) + this.#descriptors.getUint32(at + 4, true) * 2 ** 32;
  }

  #targets(base: number, count: number): Targets | undefined {
    if ((base + count) * backendLayout.size > this.#backends.length) return undefined;
    const key = `${base} ${count}`;
    const known = this.#ranges.get(key);
    if (known !== undefined) return known;
    const { size, address } = backendLayout;
    const targets = Targets.fromMapped(this.#backends, base * size + address, count, size);
    this.#ranges.set(key, targets);
    return targets;
  }

  #name(index: number): string {
    const at = index * nameLayout.size;
    if (index === 0 || at >= this.#names.length) return "";
    const length = Math.min(this.#nameView.getUint16(at + nameLayout.length, true), nameBytesMax);
    return this.#decoder.decode(this.#names.subarray(at + nameLayout.text, at + nameLayout.text + length));
  }
}
