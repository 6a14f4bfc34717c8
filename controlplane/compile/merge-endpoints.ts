/**
 * The slices of one service -> what becomes its Backends. Copies of an endpoint are merged per (family, port name, protocol,
 * address, number); then the endpoints of one address that are equal in all but their port form one group.
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
}

/** Order of protocols on the wire. */
export const protocolNumbers = { TCP: 1, UDP: 2, SCTP: 3 } as const;

interface Copy {
  readonly port: SlicePortRecord;
  readonly endpoint: EndpointRecord;
}

/** @param families those in which the service has a ClusterIP; endpoints of another serve no frontend and no health check (S11). */
export function mergeEndpoints(
  slices: Iterable<EndpointSliceRecord>,
  families: ReadonlySet<Family>,
): readonly EndpointGroup[] {
  const merged = new Map<string, Copy>();
  for (const slice of [...slices].toSorted((a, b) => compareText(a.name, b.name))) {
    for (const endpoint of slice.endpoints) {
      if (!families.has(familyOf(endpoint.address))) continue;
      for (const port of slice.ports) {
        const key = `${endpoint.address} ${port.protocol} ${port.number} ${port.name}`;
        const earlier = merged.get(key);
        // Equal ranks: the earlier slice name wins, in one slice the earlier endpoint.
        if (earlier === undefined || rank(endpoint) > rank(earlier.endpoint)) merged.set(key, { port, endpoint });
      }
    }
  }
  return group(merged.values());
}

/**
 * S21: one that is not terminating wins, then one with a nodeName, ready, serving. Which copy is the local one differs by node,
 * and a Backend is the same on every node, so that step of kube-proxy's order is the nodeName's.
 */
function rank(of: EndpointRecord): number {
  return (of.isTerminating ? 0 : 8) + (of.nodeName === "" ? 0 : 4) + (of.isReady ? 2 : 0) + (of.isServing ? 1 : 0);
}

function group(copies: Iterable<Copy>): readonly EndpointGroup[] {
  const groups = new Map<string, { address: Address; ports: SlicePortRecord[]; endpoint: EndpointRecord }>();
  for (const { port, endpoint } of copies) {
    const key = groupKey(endpoint);
    const found = groups.get(key);
    if (found === undefined) groups.set(key, { address: endpoint.address, ports: [port], endpoint });
    else found.ports.push(port);
  }
  for (const { ports } of groups.values()) if (ports.length > 1) ports.sort(comparePorts);
  return [...groups.values()];
}

// Names hold neither blanks nor commas.
function groupKey(of: EndpointRecord): string {
  const conditions = (of.isReady ? 4 : 0) + (of.isServing ? 2 : 0) + (of.isTerminating ? 1 : 0);
  return `${of.address} ${conditions} ${of.nodeName} ${of.zone} ${hintsKey(of.zoneHints)} ${hintsKey(of.nodeHints)}`;
}

function hintsKey(hints: readonly string[]): string {
  return hints.length < 2 ? (hints[0] ?? "") : [...new Set(hints)].toSorted(compareText).join(",");
}

function comparePorts(a: SlicePortRecord, b: SlicePortRecord): number {
  return (
    compareText(a.name, b.name) || protocolNumbers[a.protocol] - protocolNumbers[b.protocol] || a.number - b.number
  );
}
