/** `parse` for flags whose values are addresses and ranges. */
import { parseAddress, parsePrefix, type Address, type Prefix } from "../address.ts";
import type { Parsed } from "./flags.ts";

export function parseIp(given: string): Parsed<Address> {
  const value = parseAddress(given);
  return value === undefined ? { ok: false, problem: "give an IP address" } : { ok: true, value };
}

export function parseCidr(given: string): Parsed<Prefix> {
  const value = parsePrefix(given);
  return value === undefined
    ? { ok: false, problem: "give a CIDR such as 10.96.0.0/12 or fd00:96::/108" }
    : { ok: true, value };
}
