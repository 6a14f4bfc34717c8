/**
 * The structs of bpf/types.h as offsets and sizes, in bytes. `layout.test.ts` compares them with the BTF of the built object.
 * Numbers are little-endian (the programs are built for it) but for ports and addresses, which are in network order.
 */
import type { Action, FrontendKind, ProtocolName, Scope } from "../../plan/frontend.ts";

/** Bump when a struct or a map of bpf/maps.h changes: other versions are loaded beside and switched to, never reused. */
export const serviceLayoutVersion = 5;
/** The same for bpf/flow-maps.h. A map that comes beside the others changes none of them: sockets keep what they have. */
export const flowLayoutVersion = 4;

export const frontendKeyLayout = { size: 20, address: 0, port: 16, protocol: 18, scope: 19 } as const;
export const cidrKeyLayout = { size: 20, length: 0, address: 4 } as const;
export const rangeKeyLayout = { size: 24, length: 0, set: 4, address: 8 } as const;
export const stateLayout = { size: 40, key: 0, length: 20, word: 24 } as const;
export const descriptorLayout = {
  size: 32,
  backends_base: 0,
  backends_count: 4,
  action: 8,
  kind: 9,
  flags: 10,
  affinity_seconds: 12,
  range_set: 16,
  name: 20,
  revision: 24,
} as const;
export const backendLayout = { size: 24, address: 0, port: 16, flags: 18, reserved: 20 } as const;
export const nameLayout = { size: 208, id: 0, length: 8, reserved: 10, text: 16 } as const;
export const nameBytesMax = 192;
export const activationLayout = {
  size: 32,
  sequence: 0,
  epoch_ms: 8,
  epoch_random: 16,
  reserved: 20,
  revision: 24,
} as const;
export const settingsLayout = { size: 16, host_netns_cookie: 0, probe_port: 8, reserved: 10 } as const;

export const nodePortLayout = { size: 8, name: 0, reserved: 4 } as const;
export const connectionSlotLayout = { size: 64, owner: 0, connection: 8, reserved: 56 } as const;
export const udpPeerLayout = { size: 8, sockets: 0, is_left: 4 } as const;
export const refusedBindLayout = {
  size: 48,
  number: 0,
  service_port: 8,
  name: 16,
  pid: 20,
  port: 24,
  protocol: 26,
  reserved: 27,
  command: 32,
} as const;

export const descriptorBits = 24n;
export const descriptorMask = 0xff_ffffn;
export const descriptorsCeiling = 1 << 24;
export const activationsMax = 64;
export const cidrsMax = 256;
/** Ids of range sets are below it. */
export const rangeSetsMax = 65_536;
export const rangesMax = 65_536;
/** Ports of one protocol. */
export const portsMax = 65_536;
export const refusedBindsMax = 64;
export const connectionSlotsMax = 65_536;
export const udpPeersMax = 65_536;

/** Absent, and those that stand for no service port. */
export const absentDescriptor = 0;
export const rejectDescriptor = 1;
export const dropDescriptor = 2;
export const passDescriptor = 3;
export const firstFreeDescriptor = 4;

/** `pass` is of addresses only. */
export const actionCodes: Readonly<Record<Action | "pass", number>> = { forward: 1, reject: 2, drop: 3, pass: 4 };
export const kindCodes: Readonly<Record<FrontendKind, number>> = {
  ClusterIP: 1,
  NodePort: 2,
  ExternalIP: 3,
  LoadBalancerIP: 4,
};
export const protocolCodes: Readonly<Record<ProtocolName, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
export const scopeCodes: Readonly<Record<Scope, number>> = { internal: 0, external: 1 };

/** The name of a code; undefined if there is none. */
export function nameOfCode<T extends string>(codes: Readonly<Record<T, number>>, code: number): T | undefined {
  for (const name in codes) if (codes[name] === code) return name;
  return undefined;
}
