/**
 * libbpf and the few C calls beside it, by koffi: nothing else in the agent calls C. Functions return what is asked for and
 * throw KernelError, whose code is the errno. No C code calls back.
 */
import { endProcessBy } from "@weft/proto/program/main.ts";
import koffi from "koffi";

/** A call that the kernel or libbpf refused. */
export class KernelError extends Error {
  readonly errno: number;

  /** @param doing as "cannot …" reads it */
  constructor(errno: number, doing: string) {
    super(`cannot ${doing}: ${errnoName(errno)}`);
    this.name = "KernelError";
    this.errno = errno;
  }
}

export const errnos = {
  EPERM: 1,
  ENOENT: 2,
  E2BIG: 7,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  ENOLINK: 67,
  EOPNOTSUPP: 95,
  ENETUNREACH: 101,
} as const;

/** "ENOENT" and the like. */
export function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(koffi.os.errno)) if (value === errno) return name;
  return `errno ${errno}`;
}

export type Pointer = bigint;

const verifierLogBytes = 1 << 20;
const mapFailed = 0xffff_ffff_ffff_ffffn;
const mapFlags = { shared: 0x1, private: 0x2, fixed: 0x10, anonymous: 0x20, noReserve: 0x4000 } as const;

/** @throws Error if libbpf.so.1 is not installed. */
function load() {
  const libc = koffi.load("libc.so.6");
  const libbpf = koffi.load("libbpf.so.1");
  // Everything that this program has in the kernel is meant to stay, and nothing else of it needs to be taken apart.
  const exitNow = libc.func("void _exit(int)");
  endProcessBy((code) => void exitNow(code));
  return {
    close: libc.func("int close(int)"),
    flock: libc.func("int flock(int, int)"),
    mmap: libc.func("void *mmap(void *, size_t, int, int, int, int64_t)"),
    socket: libc.func("int socket(int, int, int)"),
    connect: libc.func("int connect(int, const void *, uint32_t)"),
    getpeername: libc.func("int getpeername(int, void *, _Inout_ uint32_t *)"),
    getsockname: libc.func("int getsockname(int, void *, _Inout_ uint32_t *)"),
    getsockopt: libc.func("int getsockopt(int, int, int, void *, _Inout_ uint32_t *)"),
    setPrint: libbpf.func("void *libbpf_set_print(void *)"),
    objectOpen: libbpf.func("void *bpf_object__open_file(const char *, const void *)"),
    objectLoad: libbpf.func("int bpf_object__load(void *)"),
    objectClose: libbpf.func("void bpf_object__close(void *)"),
    findMap: libbpf.func("void *bpf_object__find_map_by_name(void *, const char *)"),
    findProgram: libbpf.func("void *bpf_object__find_program_by_name(void *, const char *)"),
    nextProgram: libbpf.func("void *bpf_object__next_program(void *, void *)"),
    programFd: libbpf.func("int bpf_program__fd(void *)"),
    programSetLog: libbpf.func("int bpf_program__set_log_buf(void *, void *, size_t)"),
    mapFd: libbpf.func("int bpf_map__fd(void *)"),
    mapSetMax: libbpf.func("int bpf_map__set_max_entries(void *, uint32_t)"),
    mapSetPin: libbpf.func("int bpf_map__set_pin_path(void *, const char *)"),
    linkCreate: libbpf.func("int bpf_link_create(int, int, int, const void *)"),
    linkDetach: libbpf.func("int bpf_link_detach(int)"),
    linkUpdate: libbpf.func("int bpf_link_update(int, int, const void *)"),
    objPin: libbpf.func("int bpf_obj_pin(int, const char *)"),
    objGet: libbpf.func("int bpf_obj_get(const char *)"),
    objInfo: libbpf.func("int bpf_obj_get_info_by_fd(int, void *, _Inout_ uint32_t *)"),
    mapCreate: libbpf.func("int bpf_map_create(int, const char *, uint32_t, uint32_t, uint32_t, const void *)"),
    update: libbpf.func("int bpf_map_update_elem(int, const void *, const void *, uint64_t)"),
    lookup: libbpf.func("int bpf_map_lookup_elem(int, const void *, void *)"),
    remove: libbpf.func("int bpf_map_delete_elem(int, const void *)"),
    nextKey: libbpf.func("int bpf_map_get_next_key(int, const void *, void *)"),
    lookupBatch: libbpf.func(
      "int bpf_map_lookup_batch(int, const void *, void *, void *, void *, _Inout_ uint32_t *, const void *)",
    ),
    testRun: libbpf.func("int bpf_prog_test_run_opts(int, void *)"),
  };
}

let loaded: ReturnType<typeof load> | undefined;

function calls(): ReturnType<typeof load> {
  if (loaded === undefined) {
    loaded = load();
    // Else libbpf writes its warnings to stderr.
    loaded.setPrint(null);
  }
  return loaded;
}

/** Whether the libraries are there; the reason if not. */
export function libbpfMissing(): string | undefined {
  try {
    calls();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

// libbpf returns -errno.
function check(result: number, doing: string): number {
  if (result < 0) throw new KernelError(-result, doing);
  return result;
}

export interface LoadedObject extends Disposable {
  mapFd(name: string): number;
  programFd(name: string): number;
}

export interface MapSettings {
  readonly max?: number;
  readonly pin?: string;
}

/**
 * Opens an object, applies settings to its maps (a pin that exists is reused; another layout there is refused by libbpf) and
 * loads it, on another thread: the verifier takes 40 to 100 ms. Rejects with VerifierError and the verifier's log, or KernelError.
 */
export async function loadObject(path: string, maps: Readonly<Record<string, MapSettings>>): Promise<LoadedObject> {
  const c = calls();
  koffi.errno(0);
  const object: Pointer | null = c.objectOpen(path, null);
  if (object === null) throw new KernelError(koffi.errno(), `open the BPF object ${path}`);
  const log: Pointer = koffi.alloc("char", verifierLogBytes);
  try {
    new Uint8Array(koffi.view(log, 1))[0] = 0;
    for (let program = c.nextProgram(object, null); program !== null; program = c.nextProgram(object, program)) {
      c.programSetLog(program, log, verifierLogBytes);
    }
    for (const [name, { max, pin: at }] of Object.entries(maps)) {
      const map: Pointer | null = c.findMap(object, name);
      if (map === null) throw new KernelError(errnos.ENOENT, `find the map ${name} in ${path}`);
      if (max !== undefined) check(c.mapSetMax(map, max), `size the map ${name}`);
      if (at !== undefined) check(c.mapSetPin(map, at), `pin the map ${name} at ${at}`);
    }
    const result = await resultOf(c.objectLoad, object);
    if (result < 0) throw new VerifierError(-result, path, koffi.decode(log, "char", -1));
  } catch (error) {
    c.objectClose(object);
    throw error;
  } finally {
    koffi.free(log);
  }
  return {
    mapFd: (name) => check(c.mapFd(c.findMap(object, name)), `find the map ${name}`),
    programFd: (name) => check(c.programFd(c.findProgram(object, name)), `find the program ${name}`),
    [Symbol.dispose]: () => c.objectClose(object),
  };
}

/** An object that the kernel did not take. `log` is empty unless the verifier refused a program. */
export class VerifierError extends KernelError {
  readonly log: string;

  constructor(errno: number, path: string, log: string) {
    super(errno, `load the BPF object ${path}`);
    this.name = "VerifierError";
    this.log = log;
  }
}

export function closeFd(fd: number): void {
  calls().close(fd);
}

/** Undefined if there is no such pin. */
export function getPinned(path: string): number | undefined {
  const fd: number = calls().objGet(path);
  if (fd === -errnos.ENOENT) return undefined;
  return check(fd, `open the pin ${path}`);
}

export function pin(fd: number, path: string): void {
  check(calls().objPin(fd, path), `pin at ${path}`);
}

/** Fd of a link of the program to the cgroup. */
export function createLink(programFd: number, cgroupFd: number, attachType: number): number {
  return check(calls().linkCreate(programFd, cgroupFd, attachType, null), "attach a program to the cgroup");
}

export function updateLink(linkFd: number, programFd: number): void {
  check(calls().linkUpdate(linkFd, programFd, null), "replace the program of a link");
}

/** From now on no program of it starts. Removing its pin alone has that effect only some time later. */
export function detachLink(linkFd: number): void {
  check(calls().linkDetach(linkFd), "detach a link");
}

/** The same of the link that is pinned there, if one is. The pin stays. */
export function detachPinned(at: string): void {
  const link = getPinned(at);
  if (link === undefined) return;
  try {
    detachLink(link);
  } finally {
    closeFd(link);
  }
}

/** Id of the cgroup that a link is attached to; 0n if that is gone. */
export function linkCgroupId(linkFd: number): bigint {
  const info = new DataView(new ArrayBuffer(64));
  check(calls().objInfo(linkFd, new Uint8Array(info.buffer), [64]), "read a link");
  // struct bpf_link_info: type, id, prog_id, then { u64 cgroup_id, u32 attach_type } aligned to 8.
  return info.getBigUint64(16, true);
}

/** Most entries of a map. */
export function mapMaxEntries(fd: number): number {
  const info = new DataView(new ArrayBuffer(96));
  check(calls().objInfo(fd, new Uint8Array(info.buffer), [96]), "read a map");
  // struct bpf_map_info: type, id, key_size, value_size, max_entries.
  return info.getUint32(16, true);
}

/** The values of an array map as memory. It stays mapped until the process ends: nothing may hold a view of unmapped memory. */
export function mapMemory(fd: number, byteLength: number, isWritable: boolean): ArrayBuffer {
  return mapShared(fd, byteLength, isWritable).memory;
}

/** The same, and where it is. */
export function mapShared(
  fd: number,
  byteLength: number,
  isWritable: boolean,
): { readonly address: Pointer; readonly memory: ArrayBuffer } {
  const address: Pointer = calls().mmap(null, byteLength, isWritable ? 3 : 1, mapFlags.shared, fd, 0);
  if (address === mapFailed) throw new KernelError(koffi.errno(), `map ${byteLength} bytes of a BPF array`);
  return { address, memory: koffi.view(address, byteLength) };
}

/** 0, or the errno. Maps a part of what `mapShared` gave again, after `reserveInstead`. Both ends are those of pages or of the array. */
export function remapShared(address: Pointer, fd: number, from: number, until: number): number {
  const flags = mapFlags.shared | mapFlags.fixed;
  const result: Pointer = calls().mmap(address + BigInt(from), until - from, 3, flags, fd, from);
  return result === mapFailed ? koffi.errno() : 0;
}

/** 0, or the errno. Instead of this part there are zeros that cannot be written, at the same addresses. They take no memory. */
export function reserveInstead(address: Pointer, from: number, until: number): number {
  const flags = mapFlags.private | mapFlags.fixed | mapFlags.anonymous | mapFlags.noReserve;
  const result: Pointer = calls().mmap(address + BigInt(from), until - from, 1, flags, -1, 0);
  return result === mapFailed ? koffi.errno() : 0;
}

/** 0, or the errno. `flags`: BPF_ANY 0, BPF_NOEXIST 1. */
export function updateElement(fd: number, key: Uint8Array, value: Uint8Array, flags: 0 | 1): number {
  return -calls().update(fd, key, value, flags);
}

/** 0, or the errno. */
export function removeElement(fd: number, key: Uint8Array): number {
  return -calls().remove(fd, key);
}

/** False if there is no such element. */
export function lookupElement(fd: number, key: Uint8Array, value: Uint8Array): boolean {
  return calls().lookup(fd, key, value) === 0;
}

/** 0, or the errno: ENOENT with the last batch. `next` is filled; `count[0]` goes in as the most and comes out as what was read. */
export function lookupBatch(
  fd: number,
  position: Uint8Array | null,
  next: Uint8Array,
  keys: Uint8Array,
  values: Uint32Array,
  count: number[],
): number {
  return -calls().lookupBatch(fd, position, next, keys, values, count, null);
}

/** Fills `next`; false behind the last key. Null: the first one. */
export function nextKey(fd: number, key: Uint8Array | null, next: Uint8Array): boolean {
  return calls().nextKey(fd, key, next) === 0;
}

/** Fd of an array map of one 4-byte value: the inner map of `graces`. */
export function createInnerMap(): number {
  const arrayType = 2;
  return check(calls().mapCreate(arrayType, "weft_grace", 4, 4, 1, null), "make a map");
}

/** Resolves after the update: for a map of maps the kernel waits for every running program first (6-10 ms). */
export async function updateElementAsync(fd: number, key: Uint8Array, value: Uint8Array): Promise<void> {
  check(await resultOf(calls().update, fd, key, value, 0), "wait for running programs");
}

// Called on another thread. Until it resolves nothing that was passed may be freed.
function resultOf(
  call: { readonly async: (...args: unknown[]) => unknown },
  ...args: readonly unknown[]
): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: unknown, result: number) => {
      if (error !== null && error !== undefined) reject(new Error("a call of libbpf failed", { cause: error }));
      else resolve(result);
    });
  });
}

/** False if another process holds the lock. The lock ends with the process or `closeFd`. */
export function tryLock(fd: number): boolean {
  const exclusiveNonBlocking = 2 | 4;
  if (calls().flock(fd, exclusiveNonBlocking) === 0) return true;
  if (koffi.errno() === errnos.EAGAIN) return false;
  throw new KernelError(koffi.errno(), "lock a folder");
}

export interface InetAddress {
  /** 4 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** Both ends of a UDP socket after connect() to an IPv4 address. Sends no packet. */
export function connectUdp(
  address: Uint8Array,
  port: number,
): { readonly peer: InetAddress; readonly local: InetAddress } {
  const c = calls();
  const inet = 2;
  const datagramCloseOnExec = 2 | 0x80000;
  const fd: number = c.socket(inet, datagramCloseOnExec, 0);
  if (fd < 0) throw new KernelError(koffi.errno(), "make a socket");
  try {
    const to = new Uint8Array(16);
    to[0] = inet;
    to[2] = port >> 8;
    to[3] = port & 255;
    to.set(address, 4);
    if (c.connect(fd, to, to.length) < 0) throw new KernelError(koffi.errno(), "connect a UDP socket");
    const peer = new Uint8Array(16);
    if (c.getpeername(fd, peer, [16]) < 0) throw new KernelError(koffi.errno(), "read the peer of a socket");
    const local = new Uint8Array(16);
    if (c.getsockname(fd, local, [16]) < 0) throw new KernelError(koffi.errno(), "read the address of a socket");
    return { peer: inetAddress(peer), local: inetAddress(local) };
  } finally {
    c.close(fd);
  }
}

function inetAddress(bytes: Uint8Array): InetAddress {
  return { address: bytes.slice(4, 8), port: ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0) };
}

/** SO_NETNS_COOKIE of this process; 0n where the kernel has none. */
export function netnsCookie(): bigint {
  const c = calls();
  const fd: number = c.socket(2, 2 | 0x80000, 0);
  if (fd < 0) throw new KernelError(koffi.errno(), "make a socket");
  try {
    const value = new Uint8Array(8);
    const socketLevel = 1;
    const netnsCookieOption = 71;
    if (c.getsockopt(fd, socketLevel, netnsCookieOption, value, [8]) < 0) return 0n;
    return new DataView(value.buffer).getBigUint64(0, true);
  } finally {
    c.close(fd);
  }
}

/** Runs an XDP program `repeat` times in the kernel (BPF_PROG_TEST_RUN). */
export function testRun(programFd: number, repeat: number): void {
  const packet = new Uint8Array(64);
  const packetMemory: Pointer = koffi.alloc("char", packet.length);
  try {
    // struct bpf_test_run_opts: size_t sz; void *data_in, *data_out; u32 data_size_in, _out; void *ctx_in, *ctx_out; u32
    // ctx_size_in, _out, retval; int repeat; u32 duration, flags, cpu, batch_size.
    const options = new DataView(new ArrayBuffer(80));
    options.setBigUint64(0, 80n, true);
    options.setBigUint64(8, koffi.address(packetMemory), true);
    options.setUint32(24, packet.length, true);
    options.setInt32(60, repeat, true);
    check(calls().testRun(programFd, new Uint8Array(options.buffer)), "run a test program");
  } finally {
    koffi.free(packetMemory);
  }
}
