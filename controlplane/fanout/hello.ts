/** Reads a `Hello`: from the wire's optional fields to checked values, or the reason why not. */
import { addressFromBytes } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Cursor, Revision } from "@weft/proto/cursor.ts";
import type { Hello, NodeAddresses, Versions } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeConnection } from "../fleet/fleet-observer.ts";
import { refuse } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import { protocolNumber } from "./stream-limits.ts";
import type { StreamLimits } from "./stream-limits.ts";

/** An agent that introduced itself. */
export interface Introduction {
  readonly node: string;
  readonly instance: bigint;
  /** Undefined: it holds nothing. */
  readonly cursor: Cursor | undefined;
  /** Root digest of what it holds. */
  readonly digest: bigint;
  /** Services that it holds. */
  readonly services: number;
  readonly addresses: readonly Address[];
  /** Where NodePorts are served. */
  readonly nodePortAddresses: readonly Address[];
  /** Those of its devices. */
  readonly localAddresses: readonly Address[];
  /** No ClusterIP is passed. */
  readonly servesLocalClusterIps: boolean;
  readonly versions: Versions | undefined;
}

/** `applied`: the revision of the current epoch that it holds; 0: none. */
export function connectionOf(of: Introduction, peer: string, applied: Revision): NodeConnection {
  const { node, instance, versions, addresses, nodePortAddresses, localAddresses, servesLocalClusterIps } = of;
  return {
    node,
    instance,
    peer,
    versions,
    addresses,
    nodePortAddresses,
    localAddresses,
    servesLocalClusterIps,
    applied,
  };
}

export type ReadHello =
  | { readonly kind: "introduction"; readonly introduction: Introduction }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** `version`: of this program, for the message about protocol numbers. */
export function readHello(hello: Hello, limits: StreamLimits, version: string): ReadHello {
  const refused = (message: string): ReadHello => ({
    kind: "refused",
    refusal: refuse("bad-hello", "INVALID_ARGUMENT", message),
  });
  if (Math.abs(hello.protocol - protocolNumber) > 1) {
    const older = hello.protocol < protocolNumber ? "agent" : "control plane";
    const message =
      `node ${JSON.stringify(hello.node)}: the agent ${hello.versions?.agent ?? "(version unknown)"} speaks protocol ${hello.protocol}, ` +
      `this control plane ${version} speaks ${protocolNumber}; they may differ by one: upgrade the ${older}`;
    return { kind: "refused", refusal: refuse("protocol", "FAILED_PRECONDITION", message) };
  }
  if (!/^[\x21-\x7e]{1,253}$/.test(hello.node)) {
    return refused(
      `Hello.node: ${JSON.stringify(hello.node.slice(0, 64))} is no node name; start the agent with --node NAME`,
    );
  }
  if (hello.instance === 0n)
    return refused(`Hello.instance of node ${hello.node} is 0; it must be the random id in its state folder`);
  const cursor = readCursor(hello);
  if (cursor === "bad") return refused(`Hello.cursor of node ${hello.node} is no cursor; remove its state folder`);
  const addresses = readAddresses(hello.addresses, limits);
  if (addresses === undefined) {
    return refused(`Hello.addresses of node ${hello.node}: at most ${limits.addressesMax}, of 4 or 16 bytes each`);
  }
  const { node, instance, digest, versions } = hello;
  const services = hello.counts?.services ?? 0;
  return { kind: "introduction", introduction: { node, instance, cursor, digest, services, ...addresses, versions } };
}

/** Not too many, of 4 or 16 bytes each. */
export function areGoodAddresses(of: NodeAddresses | undefined, limits: StreamLimits): boolean {
  return of === undefined || readAddresses(of, limits) !== undefined;
}

// Undefined if they are not good.
function readAddresses(
  of: NodeAddresses | undefined,
  limits: StreamLimits,
): Pick<Introduction, "addresses" | "nodePortAddresses" | "localAddresses" | "servesLocalClusterIps"> | undefined {
  const lists = [of?.addresses ?? [], of?.nodePortAddresses ?? [], of?.localAddresses ?? []];
  const isGood = lists.every(
    (list) => list.length <= limits.addressesMax && list.every((bytes) => bytes.length === 4 || bytes.length === 16),
  );
  if (!isGood) return undefined;
  const [addresses = [], nodePortAddresses = [], localAddresses = []] = lists.map((list) => list.map(addressFromBytes));
  return { addresses, nodePortAddresses, localAddresses, servesLocalClusterIps: of?.servesLocalClusterIps ?? false };
}

function readCursor(hello: Hello): Cursor | undefined | "bad" {
  const cursor = hello.cursor;
  if (cursor === undefined) return undefined;
  const isGood =
    cursor.epoch !== undefined &&
    cursor.epoch.createdMs <= Number.MAX_SAFE_INTEGER &&
    cursor.revision >= 1n &&
    cursor.revision <= Number.MAX_SAFE_INTEGER;
  if (!isGood || cursor.epoch === undefined) return "bad";
  return { epoch: epoch(cursor.epoch.createdMs, cursor.epoch.random), revision: revision(cursor.revision) };
}
