/**
 * Compares the maps with what the writer wrote, a part at a time, and repairs what somebody else changed (DESIGN P6). Runs between
 * the synchronous parts of rounds, so nothing is ever staged while it looks. Pure: effects go through KernelMaps and the arrays.
 *
 * A word is restored as a rollback would; a missing element is inserted, a wrong one deleted and inserted; what is
 * immutable is written again in place, since it was wrong for whoever reads it. No slot is given out, so no grace is needed.
 */
import { printPrefix } from "@weft/proto/address.ts";
import { frontendKey, serviceOf } from "../../plan/frontend.ts";
import type { AuditFinding, AuditStep } from "../dataplane.ts";
import { readAddress } from "./address-codec.ts";
import { type Descriptor, type DescriptorStore } from "./descriptor-store.ts";
import { rangeElementKey, readPrefix, readRangeSets, stateKeyOf } from "./element-key.ts";
import { elementKeyBytes, elementMaps, type ElementMap, type KernelMaps } from "./kernel-maps.ts";
import { frontendKeyLayout, nameOfCode, portsMax, protocolCodes, scopeCodes } from "./layout.ts";
import type { NodePorts } from "./node-ports.ts";
import type { State, StateStore } from "./state-store.ts";
import type { StateTable } from "./state-table.ts";

/** What the writer knows. */
export interface Audited {
  readonly maps: KernelMaps;
  readonly table: StateTable;
  readonly states: StateStore;
  readonly descriptors: DescriptorStore;
  readonly nodePorts: NodePorts;
  /** The sequence that is live. */
  readonly sequence: () => bigint;
  /** True if `active` or its record was changed, and is again as it was written. */
  readonly restoreActive: () => boolean;
}

const targetsPerStep = 128;
const errnoExists = 17;

export class MapAudit {
  readonly #of: Audited;
  readonly #errnoName: (errno: number) => string;
  #pass: Generator<number, undefined> | undefined;
  #findings: AuditFinding[] = [];

  constructor(of: Audited, errnoName: (errno: number) => string) {
    this.#of = of;
    this.#errnoName = errnoName;
  }

  step(entriesMax: number): AuditStep {
    this.#findings = [];
    // A revision is being staged: never, as long as rounds stage without waiting.
    if (this.#of.states.hasStaged) return { findings: [], isEnd: false };
    // First and always: every word is judged by it.
    if (this.#of.restoreActive()) this.#found("active", "differs", "", "the activated sequence");
    this.#pass ??= this.#wholePass();
    for (let seen = 0; seen < entriesMax;) {
      const next = this.#pass.next();
      if (next.done === true) {
        this.#pass = undefined;
        return { findings: this.#findings, isEnd: true };
      }
      seen += next.value;
    }
    return { findings: this.#findings, isEnd: false };
  }

  /** Entries of a whole pass, about: each element is looked up, and met again among all. */
  size(): number {
    const { states, descriptors } = this.#of;
    let elements = descriptors.rangeSets.size;
    for (const map of elementMaps) elements += states.count(map);
    return 2 * elements + descriptors.backendsUsed;
  }

  // Yields how much it looked at; between two yields everything may have changed.
  *#wholePass(): Generator<number, undefined> {
    const { states, nodePorts } = this.#of;
    const seen = new Set<Descriptor>();
    for (const map of elementMaps) {
      for (const state of states.all(map)) {
        this.#checkElement(state);
        this.#checkState(state);
        yield 1;
        const { live } = state;
        if (live === undefined || seen.has(live)) continue;
        seen.add(live);
        yield* this.#checkDescriptor(state, live);
      }
    }
    for (const map of elementMaps) yield* this.#checkSurplus(map);
    yield* this.#checkRanges();
    for (const slot of nodePorts.restore()) {
      this.#found("node_ports", "differs", "", `port ${slot % portsMax}/${slot < portsMax ? "TCP" : "UDP"}`);
    }
    yield 1;
  }

  #checkElement({ element, index, owners, live }: State): void {
    const { maps } = this.#of;
    const found = maps.lookup(element.map, element.bytes);
    if (found === index) return;
    if (found !== undefined) maps.remove(element.map, element.bytes);
    const errno = maps.insert(element.map, element.bytes, index);
    const kind = found === undefined ? "missing" : "differs";
    this.#found(element.map, kind, ownerOf(owners, live), element.text, this.#failureOf(errno));
  }

  #checkState({ element, index, owners, live }: State): void {
    if (live === undefined) return;
    const { stateKey, stateLength, text } = element;
    if (this.#of.table.restore(index, this.#of.sequence(), stateKey, stateLength, live.index))
      this.#found("states", "differs", ownerOf(owners, live), text);
  }

  *#checkDescriptor(state: State, live: Descriptor): Generator<number, undefined> {
    const { descriptors, maps } = this.#of;
    const owner = ownerOf(state.owners, live);
    const count = live.range?.targets.length ?? 0;
    for (let from = 0; from === 0 || from < count; from += targetsPerStep) {
      // Its slots may be another's by now.
      if (state.live !== live) return;
      for (const map of descriptors.restore(live, from, targetsPerStep)) {
        this.#found(map, "differs", owner, state.element.text);
      }
      yield Math.max(1, Math.min(targetsPerStep, count - from));
    }
    for (const prefix of live.rangeSet?.prefixes ?? []) {
      if (state.live !== live || live.rangeSet === undefined) return;
      // A lookup would find a wider range.
      const errno = maps.insertAbsent("ranges", rangeElementKey(live.rangeSet.id, prefix), 1);
      if (errno !== errnoExists) this.#found("ranges", "missing", owner, printPrefix(prefix), this.#failureOf(errno));
      yield 1;
    }
  }

  *#checkSurplus(map: ElementMap): Generator<number, undefined> {
    const { maps, states } = this.#of;
    let position: Uint8Array | undefined;
    do {
      const part = maps.elementsPart(map, position);
      for (let i = 0; i < part.indices.length; i++) {
        const bytes = part.keys.slice(i * elementKeyBytes[map], (i + 1) * elementKeyBytes[map]);
        const text = textOf(map, bytes);
        const state = text === undefined ? undefined : states.get(map, text);
        if (state !== undefined && isSameBytes(state.element.bytes, bytes)) continue;
        maps.remove(map, bytes);
        this.#found(map, "surplus", "", text ?? hex(bytes));
      }
      ({ position } = part);
      yield Math.max(1, part.indices.length);
    } while (position !== undefined);
  }

  *#checkRanges(): Generator<number, undefined> {
    const { maps, descriptors } = this.#of;
    let position: Uint8Array | undefined;
    do {
      const part = maps.elementsPart("ranges", position);
      for (let at = 0; at < part.keys.length; at += elementKeyBytes.ranges) {
        const bytes = part.keys.slice(at, at + elementKeyBytes.ranges);
        if (descriptors.rangeSets.isHeld(bytes)) continue;
        maps.remove("ranges", bytes);
        const [prefixes] = readRangeSets(bytes).values();
        this.#found("ranges", "surplus", "", prefixes?.[0] === undefined ? hex(bytes) : printPrefix(prefixes[0]));
      }
      ({ position } = part);
      yield Math.max(1, part.indices.length);
    } while (position !== undefined);
  }

  #failureOf(errno: number): string | undefined {
    return errno === 0 ? undefined : `the kernel refused the element: ${this.#errnoName(errno)}`;
  }

  #found(map: string, kind: AuditFinding["kind"], service: string, entry: string, failure?: string): void {
    this.#findings.push({ map, kind, service, entry, failure });
  }
}

function ownerOf(owners: State["owners"], live: Descriptor | undefined): string {
  for (const service of owners.keys()) return service;
  return live === undefined ? "" : serviceOf(live.content.servicePort);
}

// As the writer names its elements; undefined: none that we write.
function textOf(map: ElementMap, bytes: Uint8Array): string | undefined {
  if (map === "addresses") return readAddress(bytes, 0);
  if (map === "cidrs") {
    const { key, length } = stateKeyOf(map, bytes);
    return printPrefix(readPrefix(key, length));
  }
  const protocol = nameOfCode(protocolCodes, bytes[frontendKeyLayout.protocol] ?? 0);
  const scope = nameOfCode(scopeCodes, bytes[frontendKeyLayout.scope] ?? 0);
  if (protocol === undefined || scope === undefined) return undefined;
  const port = ((bytes[frontendKeyLayout.port] ?? 0) << 8) | (bytes[frontendKeyLayout.port + 1] ?? 0);
  return frontendKey({ address: readAddress(bytes, frontendKeyLayout.address), port, protocol, scope });
}

function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
