/** Starts the janitor of a lab; see `janitor.ts`. */
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import type { Socket } from "node:net";
import type { Writable } from "node:stream";
import { nodeCommand } from "./lab-process.ts";

export function startJanitor(lab: string): ChildProcessByStdio<Writable, null, null> {
  const [node = "", ...args] = nodeCommand("integration/lab/janitor.ts", lab);
  const janitor = spawn(node, args, { stdio: ["pipe", "ignore", "ignore"], detached: true });
  // An owner that has nothing more to do may end.
  janitor.unref();
  (janitor.stdin as Socket).unref();
  janitor.stdin.on("error", () => {});
  return janitor;
}
