import assert from "node:assert/strict";
import fs from "node:fs";
import { it } from "node:test";
import {
  activationLayout,
  backendLayout,
  cidrKeyLayout,
  connectionSlotLayout,
  descriptorLayout,
  frontendKeyLayout,
  nameLayout,
  nodePortLayout,
  rangeKeyLayout,
  refusedBindLayout,
  settingsLayout,
  stateLayout,
  udpPeerLayout,
} from "./layout.ts";
import { btfStructs } from "./testing/btf.ts";

const structs = btfStructs(fs.readFileSync(new URL("../../../bpf/dist/sock.bpf.o", import.meta.url)));

const layouts = {
  frontend_key: frontendKeyLayout,
  cidr_key: cidrKeyLayout,
  range_key: rangeKeyLayout,
  state: stateLayout,
  descriptor: descriptorLayout,
  backend: backendLayout,
  name: nameLayout,
  activation: activationLayout,
  settings: settingsLayout,
  node_port: nodePortLayout,
  connection_slot: connectionSlotLayout,
  udp_peer: udpPeerLayout,
  refused_bind: refusedBindLayout,
} as const;

for (const [name, { size, ...members }] of Object.entries(layouts)) {
  it(`struct ${name} is the same in C and TypeScript`, () => {
    assert.deepEqual(structs.get(name), { size, members });
  });
}
