/** Whether this process can make kernel labs here. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { findCgroupMount } from "./cgroup.ts";

/** Undefined: it can. Else what is missing and what to do, one line. */
export function missingForKernelLab(): string | undefined {
  if (process.platform !== "linux") return `this is ${process.platform}; a kernel lab needs Linux`;
  if (process.getuid?.() !== 0) return "not root: network namespaces and BPF need it; run with sudo";
  if (findCgroupMount() === undefined) return "no cgroup2 mount: mount -t cgroup2 none /sys/fs/cgroup";
  if (!fs.existsSync("/sys/kernel/btf/vmlinux"))
    return "no /sys/kernel/btf/vmlinux: the kernel needs CONFIG_DEBUG_INFO_BTF";
  for (const [program, debianPackage] of [
    ["ip", "iproute2"],
    ["nsenter", "util-linux"],
    ["mount", "mount"],
  ] as const) {
    if (spawnSync(program, ["-V"], { stdio: "ignore" }).error !== undefined)
      return `no ${program}: apt-get install ${debianPackage}`;
  }
  return missingCapability();
}

// Root in a container may lack what root has: bits of CapEff, see capability.h.
function missingCapability(): string | undefined {
  const effective = BigInt(
    `0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(fs.readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`,
  );
  for (const [name, bit] of [
    ["CAP_NET_ADMIN", 12n],
    ["CAP_SYS_ADMIN", 21n],
    ["CAP_BPF", 39n],
  ] as const) {
    if (((effective >> bit) & 1n) === 0n) return `root without ${name}: run outside the container, or grant it`;
  }
  return undefined;
}
