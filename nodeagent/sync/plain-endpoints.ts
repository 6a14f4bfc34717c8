/**
 * The endpoints of a service port straight from encoded backends, for a node's start: no object for any of 250,000. Reads IPv4 backends that
 * are ready, have no hints and are nobody's copy, in the plainest encoding, and says so of anything else: that is for the whole way
 * by decoded backends (plan/choose-endpoints.ts), whose answer would be the same. Pure.
 */
import type { ServicePort } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { EndpointChoice } from "../plan/choose-endpoints.ts";
import { Targets } from "../plan/targets.ts";
import type { HeldResources, Owner } from "./held-resources.ts";

const portsEnd = 65_536;
/** Instead of an address: none was read yet, it is of IPv6. */
const unread = -2;
const otherFamily = -1;

/** What is read, from where to where. */
let bytes: Buffer = Buffer.alloc(0);
let at = 0;
/** Keys of `Targets.ofIPv4`: of all endpoints, and of those on the node. */
let keys = new Float64Array(256);
let count = 0;
let ownKeys = new Float64Array(256);
let ownCount = 0;
/** What is looked for. */
let portName = "";
let protocol = 0;
let nodeLow = 0;
let nodeHigh = 0;

/** Of IPv4. Undefined: read the decoded backends. */
export function plainEndpoints(
  resources: HeldResources,
  owner: Owner,
  port: ServicePort,
  node: bigint,
): EndpointChoice | undefined {
  portName = port.name;
  ({ protocol } = port);
  nodeLow = Number(node & 0xffff_ffffn);
  nodeHigh = Number(node >> 32n);
  count = 0;
  ownCount = 0;
  if (!resources.eachBackend(owner, readBackend) || !hasOrder(keys, count) || !hasOrder(ownKeys, ownCount))
    return undefined;
  const cluster = Targets.ofIPv4(keys, count);
  return { cluster, local: ownCount === count ? cluster : Targets.ofIPv4(ownKeys, ownCount) };
}

// False: not plain.
function readBackend(from: Buffer, start: number, end: number): boolean {
  bytes = from;
  at = start + 10;
  // Behind the id.
  if (end - start < 12 || byte(start) !== 0x09 || byte(start + 9) !== 0x1a) return false;
  if (readSmall(end) !== end - at) return false;
  const first = count;
  let address = unread;
  let isOwn = nodeLow === 0 && nodeHigh === 0;
  while (at < end) {
    switch (byte(at++)) {
      case 0x09:
      case 0x29:
        at += 8;
        break;
      case 0x12: {
        if (address !== unread) return false;
        const length = readSmall(end);
        if (length === 4) address = byte(at) * 2 ** 24 + ((byte(at + 1) << 16) | (byte(at + 2) << 8) | byte(at + 3));
        else if (length === 16) address = otherFamily;
        else return false;
        at += length;
        break;
      }
      case 0x1a: {
        const length = readSmall(end);
        if (length < 0 || address === unread || !readPort(address, at + length)) return false;
        break;
      }
      case 0x21:
        isOwn = word(at) === nodeLow && word(at + 4) === nodeHigh;
        at += 8;
        break;
      default:
        return false;
    }
  }
  if (at !== end || address === unread) return false;
  if (isOwn) for (let i = first; i < count; i++) addOwn(keys[i] ?? 0);
  return true;
}

// Adds an endpoint if it is the port that is looked for.
function readPort(address: number, end: number): boolean {
  let isNamed = portName === "";
  let found = 0;
  let number = 0;
  while (at < end) {
    const tag = byte(at++);
    const value = readSmall(end);
    if (value < 0) return false;
    if (tag === 0x10) found = value;
    else if (tag === 0x18) number = value;
    else if (tag === 0x0a) {
      if (at + value > end) return false;
      isNamed = value === portName.length;
      for (let i = 0; i < value; i++) {
        const code = byte(at + i);
        if (code > 127) return false;
        if (isNamed && code !== portName.charCodeAt(i)) isNamed = false;
      }
      at += value;
    } else return false;
  }
  if (at !== end) return false;
  if (!isNamed || found !== protocol || address === otherFamily) return true;
  if (number <= 0 || number >= portsEnd) return false;
  if (count === keys.length) keys = larger(keys);
  keys[count++] = address * portsEnd + number;
  return true;
}

function addOwn(key: number): void {
  if (ownCount === ownKeys.length) ownKeys = larger(ownKeys);
  ownKeys[ownCount++] = key;
}

// Sorts what is not in order. False if one is there twice.
function hasOrder(of: Float64Array, length: number): boolean {
  let isSorted = true;
  for (let i = 1; i < length && isSorted; i++) isSorted = (of[i - 1] ?? 0) < (of[i] ?? 0);
  if (isSorted) return true;
  of.subarray(0, length).sort();
  for (let i = 1; i < length; i++) if (of[i - 1] === of[i]) return false;
  return true;
}

function larger(of: Float64Array): Float64Array<ArrayBuffer> {
  const grown = new Float64Array(of.length * 2);
  grown.set(of);
  return grown;
}

// A varint of at most 3 bytes; -1 for a longer one. As in plain-backend.ts: shared, with its place as parameters, all here took 2 to 4 % longer.
function readSmall(end: number): number {
  let value = 0;
  for (let shift = 0; shift < 21 && at < end; shift += 7) {
    const next = byte(at++);
    value |= (next & 127) << shift;
    if (next < 128) return value;
  }
  return -1;
}

function word(index: number): number {
  return (byte(index) | (byte(index + 1) << 8) | (byte(index + 2) << 16) | (byte(index + 3) << 24)) >>> 0;
}

function byte(index: number): number {
  return bytes[index] ?? 0;
}
