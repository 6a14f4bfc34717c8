/** HOST:PORT as users give it: a name, an IPv4 address or an IPv6 address in brackets. */
import type { Parsed } from "./flags.ts";

export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** A `parse` for flags of addresses to listen on; port 0 is "any free one". */
export function parseListenAddress(text: string): Parsed<HostPort> {
  return parseHostPort(text, 0);
}

/** A `parse` for flags of addresses to connect to. */
export function parseDialAddress(text: string): Parsed<HostPort> {
  return parseHostPort(text, 1);
}

export function printHostPort(of: HostPort): string {
  return of.host.includes(":") ? `[${of.host}]:${of.port}` : `${of.host}:${of.port}`;
}

/** The bound address of a listening socket. */
export function printBound(address: { readonly address: string; readonly port: number } | string | null): string {
  if (address === null || typeof address === "string") throw new RangeError("the socket does not listen on a port");
  return printHostPort({ host: address.address, port: address.port });
}

function parseHostPort(text: string, portMin: number): Parsed<HostPort> {
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([\w.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? Number.NaN);
  if (host !== undefined && port >= portMin && port <= 65_535) return { ok: true, value: { host, port } };
  const anyPort = portMin === 0 ? ", port 0 for any" : "";
  return { ok: false, problem: `give HOST:PORT such as 127.0.0.1:7000 or [::1]:7000${anyPort}` };
}
