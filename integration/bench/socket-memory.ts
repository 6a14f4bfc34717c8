/** What the kernel holds for the TCP sockets of one port of this machine. */
import { execFileSync } from "node:child_process";

export interface SocketMemory {
  /** Of the side that listens: what was written and not acknowledged, and room. */
  readonly serverKb: number;
  /** Of the other side: what was received and not read. */
  readonly clientKb: number;
}

/** @throws Error if `ss` is missing (iproute2). */
export function socketMemory(port: number): SocketMemory {
  const sum = (end: "sport" | "dport"): number => {
    const filter = ["state", "established", `${end} = :${port}`];
    const lines = execFileSync("ss", ["-tmnHO", ...filter], { encoding: "utf8", maxBuffer: 64 * 1_024 * 1_024 });
    return heldBytes(lines) / 1_024;
  };
  return { serverKb: sum("sport"), clientKb: sum("dport") };
}

/** Of `skmem:(…)` as ss prints it: received (r), queued to be sent (w), reserved (f), options (o). */
export function heldBytes(lines: string): number {
  let bytes = 0;
  for (const [, memory = ""] of lines.matchAll(/skmem:\(([^)]*)\)/g))
    for (const field of memory.split(",")) if (/^[rwfo]\d/.test(field)) bytes += Number(field.slice(1));
  return bytes;
}
