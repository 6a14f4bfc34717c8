/** Connections as people and programs give them. */
import type { Flow } from "@weft/nodeagent/plan/explain/flow.ts";
import type { ProtocolName } from "@weft/nodeagent/plan/frontend.ts";
import { familyOf, parseAddress, parseSocketAddress, type Address } from "@weft/proto/address.ts";
import type { Parsed } from "@weft/proto/program/flags.ts";

export interface FlowTarget {
  readonly address: Address;
  readonly port: number;
  readonly protocol: ProtocolName;
}

/** "ip:port" or "[ip]:port", and the protocol if it is not TCP: "10.0.0.1:53/UDP". */
export function parseFlowTarget(given: string): Parsed<FlowTarget> {
  const [, socket = "", name] = /^([^/]*)(?:\/([^/]*))?$/.exec(given.trim()) ?? [];
  const target = parseSocketAddress(socket);
  if (target === undefined)
    return { ok: false, problem: "give IP:PORT such as 10.1.2.3:80 or [fd00::1]:80, then /UDP or /SCTP if not TCP" };
  const protocol = parseProtocol(name ?? "TCP");
  if (protocol === undefined) return { ok: false, problem: `"${name}" is no protocol: give TCP, UDP or SCTP` };
  return { ok: true, value: { ...target, protocol } };
}

/** One line of --flows. */
export function parseFlowLine(line: string): Parsed<Flow> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    return fault(`not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fault('not an object: give {"from":"10.0.0.2","to":"172.30.0.41:80","protocol":"TCP"}');
  const { from, to, protocol } = value as Readonly<Record<string, unknown>>;
  const source = typeof from === "string" ? parseAddress(from) : undefined;
  if (source === undefined) return fault(`from: ${shown(from)} is no IP address`);
  const target = typeof to === "string" ? parseSocketAddress(to) : undefined;
  if (target === undefined) return fault(`to: ${shown(to)} is no IP:PORT`);
  const by = protocol === undefined || protocol === null ? "TCP" : parseProtocol(protocol);
  if (by === undefined) return fault(`protocol: ${shown(protocol)} is none of TCP, UDP, SCTP`);
  if (familyOf(source) !== familyOf(target.address))
    return fault(`from ${source} and to ${target.address} are of different address families`);
  return { ok: true, value: { from: source, to: target.address, port: target.port, protocol: by } };
}

const protocols: readonly ProtocolName[] = ["TCP", "UDP", "SCTP"];

function parseProtocol(given: unknown): ProtocolName | undefined {
  return typeof given === "string" ? protocols.find((name) => name === given.toUpperCase()) : undefined;
}

/** Characters of a value in a message. */
const shownMax = 80;

function shown(value: unknown): string {
  if (value === undefined) return "what is missing";
  const text = JSON.stringify(value);
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : text;
}

function fault(problem: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem };
}
