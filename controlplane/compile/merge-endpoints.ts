/**
 * The slices of one service -> what becomes its Backends. Copies of an endpoint are merged per (family, port name, protocol,
 * address, number); then the endpoints of one address that are equal in all but their port form one group. Where copies disagree
 * and a node's own one wins on that node only (S21), it is in a group of its own.
 */
import { compareText, familyOf } from "@weft/proto/address.ts";
import type { Address, Family } from "@weft/proto/address.ts";
import type { EndpointRecord, EndpointSliceRecord, SlicePortRecord } from "../source/source.ts";

export interface EndpointGroup {
  readonly address: Address;
  /** In the order of (name, protocol, number), without repeats. */
  readonly ports: readonly SlicePortRecord[];
  /** Node, zone, hints and conditions of each endpoint of the group. */
  readonly endpoint: EndpointRecord;
  /** Counts on its own node only, instead of the same endpoints of other groups. */
  readonly isLocalCopy: boolean;
}

/** Order of protocols on the wire. */
export const protocolNumbers = { TCP: 1, UDP: 2, SCTP: 3 } as const;

interface Copy {
  readonly port: SlicePortRecord;
  readonly endpoint: EndpointRecord;
}

/** Copies of one endpoint, in the order of slice names. */
interface Copies {
  /** Wins on every node that has no copy of its own that wins there. */
  winner: Copy;
  /** All of them, once there are two that differ. */
  all: Copy[] | undefined;
}

/** Endpoints of one address, in the order of slice names, and the ports that each is for. */
interface Occurrence {
  readonly endpoint: EndpointRecord;
  readonly ports: readonly SlicePortRecord[];
}

/** @param families those in which the service has a ClusterIP; endpoints of another serve no frontend and no health check (S11). */
export function mergeEndpoints(
  slices: readonly EndpointSliceRecord[],
  families: ReadonlySet<Family>,
): readonly EndpointGroup[] {
  // Nearly every address is there once: then there is nothing to merge, and its ports are those of its slice.
  const once = new Map<Address, EndpointGroup>();
  const several = new Map<Address, Occurrence[]>();
  for (const slice of slices.length < 2 ? slices : slices.toSorted((a, b) => compareText(a.name, b.name))) {
    const ports = withoutRepeats(slice.ports);
    if (ports.length === 0) continue;
    for (const endpoint of slice.endpoints) {
      const { address } = endpoint;
      if (!families.has(familyOf(address))) continue;
      const first = once.get(address);
      if (first === undefined) once.set(address, { address, ports, endpoint, isLocalCopy: false });
      else getOrStart(several, first).push({ endpoint, ports });
    }
  }
  if (several.size === 0) return [...once.values()];
  for (const address of several.keys()) once.delete(address);
  return [...once.values(), ...[...several.values()].flatMap(mergeOccurrences)];
}

function getOrStart(several: Map<Address, Occurrence[]>, first: EndpointGroup): Occurrence[] {
  let occurrences = several.get(first.address);
  if (occurrences === undefined) several.set(first.address, (occurrences = [first]));
  return occurrences;
}

// In the order of a Backend's ports.
function withoutRepeats(ports: readonly SlicePortRecord[]): readonly SlicePortRecord[] {
  if (ports.length < 2) return ports;
  const sorted = ports.toSorted(comparePorts);
  return sorted.filter((port, i) => {
    const previous = sorted[i - 1];
    return previous === undefined || comparePorts(previous, port) !== 0;
  });
}

// Of one address.
function mergeOccurrences(occurrences: readonly Occurrence[]): readonly EndpointGroup[] {
  const merged = new Map<string, Copies>();
  for (const { endpoint, ports } of occurrences) {
    for (const port of ports) {
      const key = `${port.protocol} ${port.number} ${port.name}`;
      const copy = { port, endpoint };
      const copies = merged.get(key);
      if (copies === undefined) {
        merged.set(key, { winner: copy, all: undefined });
        continue;
      }
      // Copies that say the same of the node cannot win on another one.
      if (copies.all !== undefined || endpoint.nodeName !== copies.winner.endpoint.nodeName) {
        copies.all ??= [copies.winner];
        copies.all.push(copy);
      }
      // Equal ranks: the earlier slice name wins, in one slice the earlier endpoint.
      if (rank(endpoint) > rank(copies.winner.endpoint)) copies.winner = copy;
    }
  }
  const winners: Copy[] = [];
  const locals: Copy[] = [];
  for (const { winner, all } of merged.values()) {
    winners.push(winner);
    if (all !== undefined) locals.push(...localWinners(winner, all));
  }
  return [...group(winners, false), ...group(locals, true)];
}

/** S21 but for the local one, which differs by node: one that is not terminating, with a nodeName, ready, serving. */
function rank(of: EndpointRecord): number {
  return (of.isTerminating ? 0 : 8) + (of.nodeName === "" ? 0 : 4) + (of.isReady ? 2 : 0) + (of.isServing ? 1 : 0);
}

/** The best copy of each node that wins there: only "not terminating" comes before "local". */
function localWinners(winner: Copy, all: readonly Copy[]): Iterable<Copy> {
  const byNode = new Map<string, Copy>();
  for (const copy of all) {
    const { nodeName, isTerminating } = copy.endpoint;
    if (nodeName === "" || nodeName === winner.endpoint.nodeName) continue;
    if (isTerminating !== winner.endpoint.isTerminating) continue;
    const best = byNode.get(nodeName);
    if (best === undefined || rank(copy.endpoint) > rank(best.endpoint)) byNode.set(nodeName, copy);
  }
  return byNode.values();
}

function group(copies: Iterable<Copy>, isLocalCopy: boolean): readonly EndpointGroup[] {
  const groups = new Map<string, EndpointGroup & { readonly ports: SlicePortRecord[] }>();
  for (const { port, endpoint } of copies) {
    const key = groupKey(endpoint);
    const found = groups.get(key);
    if (found === undefined) groups.set(key, { address: endpoint.address, ports: [port], endpoint, isLocalCopy });
    else found.ports.push(port);
  }
  for (const { ports } of groups.values()) if (ports.length > 1) ports.sort(comparePorts);
  return [...groups.values()];
}

// Names hold neither blanks nor commas.
function groupKey(of: EndpointRecord): string {
  const conditions = (of.isReady ? 4 : 0) + (of.isServing ? 2 : 0) + (of.isTerminating ? 1 : 0);
  return `${conditions} ${of.nodeName} ${of.zone} ${hintsKey(of.zoneHints)} ${hintsKey(of.nodeHints)}`;
}

function hintsKey(hints: readonly string[]): string {
  return hints.length < 2 ? (hints[0] ?? "") : [...new Set(hints)].toSorted(compareText).join(",");
}

function comparePorts(a: SlicePortRecord, b: SlicePortRecord): number {
  return (
    compareText(a.name, b.name) || protocolNumbers[a.protocol] - protocolNumbers[b.protocol] || a.number - b.number
  );
}
