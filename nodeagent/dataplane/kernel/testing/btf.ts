/** Structs of a BPF object, read from its BTF (Documentation/bpf/btf.rst). Test support: no bpftool is needed. */

export interface BtfStruct {
  readonly size: number;
  /** Offset in bytes of each member. */
  readonly members: Readonly<Record<string, number>>;
}

/** @throws Error if the file is no 64-bit little-endian ELF object with BTF. */
export function btfStructs(elf: Uint8Array): Map<string, BtfStruct> {
  const btf = section(elf, ".BTF");
  const view = new DataView(btf.buffer, btf.byteOffset, btf.byteLength);
  const headerLength = view.getUint32(4, true);
  const typesAt = headerLength + view.getUint32(8, true);
  const typesEnd = typesAt + view.getUint32(12, true);
  const stringsAt = headerLength + view.getUint32(16, true);
  const text = (offset: number): string => readText(btf, stringsAt + offset);
  const structs = new Map<string, BtfStruct>();
  for (let at = typesAt; at < typesEnd;) {
    const name = text(view.getUint32(at, true));
    const info = view.getUint32(at + 4, true);
    const size = view.getUint32(at + 8, true);
    const kind = (info >> 24) & 0x1f;
    const count = info & 0xffff;
    at += 12;
    if (kind === structKind) {
      const members: Record<string, number> = {};
      for (let i = 0; i < count; i++) {
        members[text(view.getUint32(at + i * 12, true))] = (view.getUint32(at + i * 12 + 8, true) & 0xff_ffff) / 8;
      }
      structs.set(name, { size, members });
    }
    at += extraBytes(kind, count);
  }
  return structs;
}

const structKind = 4;

function extraBytes(kind: number, count: number): number {
  const perKind: Readonly<Record<number, number>> = {
    1: 4, // INT
    3: 12, // ARRAY
    4: count * 12, // STRUCT
    5: count * 12, // UNION
    6: count * 8, // ENUM
    13: count * 8, // FUNC_PROTO
    14: 4, // VAR
    15: count * 12, // DATASEC
    17: 4, // DECL_TAG
    19: count * 12, // ENUM64
  };
  return perKind[kind] ?? 0;
}

function section(elf: Uint8Array, wanted: string): Uint8Array {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  if (view.getUint32(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1)
    throw new Error("not a 64-bit little-endian ELF object");
  const headersAt = Number(view.getBigUint64(0x28, true));
  const entrySize = view.getUint16(0x3a, true);
  const count = view.getUint16(0x3c, true);
  const offsetOf = (index: number): number => Number(view.getBigUint64(headersAt + index * entrySize + 0x18, true));
  const namesAt = offsetOf(view.getUint16(0x3e, true));
  for (let i = 0; i < count; i++) {
    const header = headersAt + i * entrySize;
    if (readText(elf, namesAt + view.getUint32(header, true)) !== wanted) continue;
    const start = offsetOf(i);
    return elf.subarray(start, start + Number(view.getBigUint64(header + 0x20, true)));
  }
  throw new Error(`no section ${wanted}`);
}

function readText(bytes: Uint8Array, start: number): string {
  return new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start)));
}
