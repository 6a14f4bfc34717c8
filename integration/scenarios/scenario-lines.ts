/** Lines in the blocks of a scenario: what a client does, and what must come of it. */
import { parseAddress, parseSocketAddress } from "@weft/proto/address.ts";
import type { Transport } from "../lab/client-messages.ts";

/** Where a socket goes. Not canonical: `[::ffff:10.96.0.10]` is asked from an IPv6 socket. */
export interface SocketTarget {
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
  /** The socket is bound to it first. */
  readonly source: string | undefined;
}

/** Exchanges by sockets of their own: all outcomes are seen, and no other. */
export interface Connection extends SocketTarget {
  /** At least `port`. More than one: one exchange with each, else many with the one. */
  readonly lastPort: number;
  /** Sorted: "pod:port", or one error code. */
  readonly outcomes: readonly string[];
}

/** A socket that is kept, by name. */
export interface Opening extends SocketTarget {
  readonly name: string;
  readonly outcome: string;
}

export interface Use {
  readonly name: string;
  readonly outcome: string;
}

export interface BindAttempt {
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  /** "bound", or an error code. */
  readonly outcome: string;
}

const outcomePattern = /^(?:[a-z]+\d+:\d+|E[A-Z]+|timeout)$/;

/** `TRANSPORT ADDRESS:PORT[-PORT] [from ADDRESS] -> OUTCOME…`. @throws Error */
export function parseConnection(text: string): Connection {
  const [what, outcomes] = halves(text, 'not "TRANSPORT ADDRESS:PORT[-PORT] [from ADDRESS] -> OUTCOMES"');
  const range = /^(.*:)(\d+)-(\d+)( from .*)?$/.exec(what);
  const target = parseTarget(range === null ? what : `${range[1]}${range[2]}${range[4] ?? ""}`, text);
  const lastPort = range === null ? target.port : Number(range[3]);
  if (lastPort < target.port) throw new Error(`the range of ports is empty: ${text}`);
  if (outcomes.length > 1 && outcomes.some((outcome) => !outcome.includes(":")))
    throw new Error(`an error is expected alone: ${text}`);
  return { ...target, lastPort, outcomes: outcomes.toSorted() };
}

/** `NAME TRANSPORT ADDRESS:PORT [from ADDRESS] -> OUTCOME`. @throws Error */
export function parseOpen(text: string): Opening {
  const [what, outcomes] = halves(text, 'not "NAME TRANSPORT ADDRESS:PORT [from ADDRESS] -> OUTCOME"');
  const [name = "", ...rest] = what.split(" ");
  return { name, ...parseTarget(rest.join(" "), text), outcome: one(outcomes, text) };
}

/** `NAME -> OUTCOME`. @throws Error */
export function parseUse(text: string): Use {
  const [name, outcomes] = halves(text, 'not "NAME -> OUTCOME"');
  return { name, outcome: one(outcomes, text) };
}

/** `tcp|udp ADDRESS:PORT -> bound|CODE`. @throws Error */
export function parseBind(text: string): BindAttempt {
  const match = /^(tcp|udp) (\S+) -> (bound|E[A-Z]+)$/.exec(text);
  const target = parseSocketAddress(match?.[2] ?? "");
  if (match === null || target === undefined) throw new Error(`not "tcp|udp ADDRESS:PORT -> bound|CODE": ${text}`);
  return { protocol: match[1] as "tcp" | "udp", ...target, outcome: match[3] ?? "" };
}

function halves(text: string, otherwise: string): readonly [string, readonly string[]] {
  const [what = "", outcomes, ...more] = text.split(" -> ");
  const words = outcomes?.split(" ") ?? [];
  if (words.length === 0 || more.length > 0) throw new Error(`${otherwise}: ${text}`);
  const wrong = words.find((word) => !outcomePattern.test(word));
  if (wrong !== undefined) throw new Error(`not an outcome: "${wrong}" in: ${text}`);
  return [what, words];
}

function one(outcomes: readonly string[], text: string): string {
  const [outcome, ...more] = outcomes;
  if (outcome === undefined || more.length > 0) throw new Error(`one outcome is expected: ${text}`);
  return outcome;
}

function parseTarget(what: string, text: string): SocketTarget {
  const match = /^(tcp|udp|udp-connected) (\S+)(?: from (\S+))?$/.exec(what);
  const host = /^(?:\[(.+)\]|([^:]+)):\d+$/.exec(match?.[2] ?? "");
  const target = parseSocketAddress(match?.[2] ?? "");
  if (match === null || host === null || target === undefined)
    throw new Error(`not "TRANSPORT ADDRESS:PORT [from ADDRESS] -> OUTCOMES": ${text}`);
  const source = match[3];
  if (source !== undefined && parseAddress(source) === undefined) throw new Error(`not an address: ${source}`);
  return { transport: match[1] as Transport, address: host[1] ?? host[2] ?? "", port: target.port, source };
}
