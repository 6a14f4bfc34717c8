/** Loads the object over the pinned maps of one agent, or says in one line why this machine cannot. */
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { fromErrno } from "@weft/proto/program/errno.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { errnos, KernelError, libbpfMissing, loadObject, pin, VerifierError } from "./libbpf.ts";
import type { LoadedObject, MapSettings } from "./libbpf.ts";
import type { KernelLimits, MapSizes } from "./map-sizes.ts";
import { flowsFolderName, servicesFolderName } from "./pin-folder.ts";

const objectPath = fileURLToPath(new URL("../../../bpf/dist/sock.bpf.o", import.meta.url));
const kernelBtf = "/sys/kernel/btf/vmlinux";

const sizedMaps = ["frontends", "addresses", "cidrs", "states", "descriptors", "backends", "names"] as const;
const fixedMaps = [
  "active",
  "activations",
  "settings",
  "graces",
  "ranges",
  "node_ports",
  "refused_binds",
  "refused_binds_count",
] as const;
const flowMaps = [
  "udp_flows",
  "reverse_flows",
  "affinity_flows",
  "connections",
  "connection_slots",
  "guarded_senders",
  "udp_peers",
] as const;

/** Rejects with a ProgramError and a remedy. */
export async function loadPrograms(
  bpffs: string,
  limits: KernelLimits,
  sizes: MapSizes,
  log: Log,
): Promise<LoadedObject> {
  const missing = libbpfMissing();
  if (missing !== undefined) {
    throw new ProgramError("unsupported", `cannot load libbpf.so.1: ${missing}`, {
      remedy: "install it: apt-get install libbpf1",
    });
  }
  const services = path.join(bpffs, servicesFolderName(limits));
  makePinFolders(bpffs, limits);
  const maps: Record<string, MapSettings> = {};
  for (const [name, at] of pinsOf(bpffs, limits)) maps[name] = { pin: at };
  for (const name of sizedMaps) maps[name] = { ...maps[name], max: sizes[name] };
  try {
    return await loadObject(objectPath, maps);
  } catch (error) {
    if (error instanceof VerifierError && error.log !== "") log.debug("the verifier's log", { log: error.log });
    throw explain(error, services);
  }
}

/** Pins maps again whose pin somebody removed: an agent that starts later would find none of what is live. @returns their names. */
export function restorePins(object: LoadedObject, bpffs: string, limits: KernelLimits): readonly string[] {
  const lost = pinsOf(bpffs, limits).filter(([, at]) => !fs.existsSync(at));
  if (lost.length > 0) makePinFolders(bpffs, limits);
  for (const [name, at] of lost) pin(object.mapFd(name), at);
  return lost.map(([name]) => name);
}

function pinsOf(bpffs: string, limits: KernelLimits): readonly (readonly [map: string, at: string])[] {
  const services = path.join(bpffs, servicesFolderName(limits));
  const flows = path.join(bpffs, flowsFolderName);
  return [
    ...[...sizedMaps, ...fixedMaps].map((name) => [name, path.join(services, name)] as const),
    ...flowMaps.map((name) => [name, path.join(flows, name)] as const),
  ];
}

function makePinFolders(bpffs: string, limits: KernelLimits): void {
  for (const name of [servicesFolderName(limits), flowsFolderName]) makeFolder(path.join(bpffs, name));
}

function makeFolder(folder: string): void {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fromErrno(error, `make the folder ${folder}`);
  }
}

function explain(error: unknown, services: string): unknown {
  if (!(error instanceof KernelError)) return error;
  const refuse = (code: "permission" | "unsupported" | "resources" | "invalid-file", remedy: string): ProgramError =>
    new ProgramError(code, error.message, { remedy, cause: error });
  if (error.errno === errnos.EPERM || error.errno === errnos.EACCES) {
    if (error instanceof VerifierError && error.log !== "") return refuse("unsupported", verifierRemedy(error));
    return refuse("permission", "run as root, or with the capabilities BPF, NET_ADMIN and PERFMON");
  }
  if (error.errno === errnos.ENOMEM)
    return refuse("resources", "lower --frontends-max, --backends-max or --services-max");
  if (!fs.existsSync(kernelBtf))
    return refuse("unsupported", `the kernel has no BTF (${kernelBtf}): use one with CONFIG_DEBUG_INFO_BTF`);
  if (error instanceof VerifierError && error.log !== "") return refuse("unsupported", verifierRemedy(error));
  if (error.errno === errnos.EINVAL) {
    return refuse(
      "invalid-file",
      `pins below ${services} may be of another layout: run weft-agent cleanup; else use Linux 6.1 or later`,
    );
  }
  return refuse("unsupported", "use Linux 6.1 or later");
}

function verifierRemedy(error: VerifierError): string {
  const lines = error.log.trimEnd().split("\n");
  const last = lines.findLast((line) => !/^(processed |verification time)/.test(line)) ?? "";
  return `the verifier said "${last.trim()}" (whole log: --log-level debug); use Linux 6.1 or later`;
}
