/** What maps of other sizes or another layout hold that new ones must go on from. */
import fs from "node:fs";
import path from "node:path";
import type { Address, Prefix } from "@weft/proto/address.ts";
import { epoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Frontend } from "../../plan/frontend.ts";
import type { Round, ServicePlan } from "../dataplane.ts";
import { readAddress } from "./address-codec.ts";
import { serviceOf } from "../../plan/frontend.ts";
import { activeOf, type PinnedState } from "./dump-pinned.ts";
import { readPrefix } from "./element-key.ts";
import type { ElementMap } from "./kernel-maps.ts";
import { elementKeyBytes } from "./kernel-maps.ts";
import { dropDescriptor, passDescriptor, rejectDescriptor } from "./layout.ts";
import { closeFd, getPinned, mapMemory } from "./libbpf.ts";
import { isServicesFolder } from "./pin-folder.ts";
import { StateTable } from "./state-table.ts";

/** Highest sequence that any maps of this folder activated, of whatever layout: words of flow entries must not come again. */
export function highestSequence(bpffs: string): bigint {
  let highest = 0n;
  for (const name of fs.readdirSync(bpffs).filter(isServicesFolder)) {
    const fd = getPinned(path.join(bpffs, name, "active"));
    if (fd === undefined) continue;
    const active = new BigInt64Array(mapMemory(fd, 8, false))[0] ?? 0n;
    closeFd(fd);
    if (active > highest) highest = active;
  }
  return highest;
}

/** The round that makes fresh maps hold the same. Whose the addresses are is known once an agent has named everything. */
export function roundOfPinned(before: PinnedState): Round {
  const plans = new Map<string, Frontend[]>();
  for (const frontend of before.frontends) {
    const service = serviceOf(frontend.servicePort);
    const held = plans.get(service) ?? [];
    plans.set(service, held);
    held.push(frontend);
  }
  const nobodys: ServicePlan = {
    service: "",
    frontends: [],
    rejectAddresses: addressesWith(before, rejectDescriptor),
    passAddresses: addressesWith(before, passDescriptor),
  };
  const services = Array.from(plans, ([service, frontends]): ServicePlan => ({
    service,
    frontends,
    rejectAddresses: [],
    passAddresses: [],
  }));
  const cursor = before.cursor ?? { epoch: epoch(0, 0), revision: revisionZero };
  return { cursor, services: [...services, nobodys], serviceCidrs: readCidrs(before) };
}

function addressesWith(before: PinnedState, descriptor: number): Address[] {
  return keysWith(before, "addresses", descriptor).map((key) => readAddress(key, 0));
}

function readCidrs(before: PinnedState): Prefix[] {
  return keysWith(before, "cidrs", dropDescriptor).map((key) =>
    readPrefix(key.subarray(4), new DataView(key.buffer, key.byteOffset).getUint32(0, true)),
  );
}

function keysWith({ maps }: PinnedState, map: ElementMap, descriptor: number): Uint8Array[] {
  const table = new StateTable(maps.arrays.states);
  const active = activeOf(maps);
  const { keys, indices } = maps.elements(map);
  const bytes = elementKeyBytes[map];
  const found: Uint8Array[] = [];
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] ?? 0;
    if (index < table.size && table.chosen(index, active) === descriptor) {
      found.push(keys.subarray(i * bytes, (i + 1) * bytes));
    }
  }
  return found;
}
