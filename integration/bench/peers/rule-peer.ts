/** Programs that put rules of kube-proxy's form into a network namespace, as kube-proxy calls them. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { iptablesChange, iptablesTables } from "./iptables-rules.ts";
import { nftablesChange, nftablesTable } from "./nftables-rules.ts";
import type { ProxiedService, RuleFamily } from "./proxied-service.ts";

export type RulePeerName = "nft" | "iptables-legacy" | "iptables-nft";

/** Rules of one family in one network namespace. */
export interface RuleTarget {
  /** Path of the namespace. */
  readonly namespace: string;
  readonly family: RuleFamily;
}

export interface RulePeer {
  readonly name: RulePeerName;
  readonly version: string;
  /** Puts the rules of `services` in place of all that is there. Resolves with the milliseconds that the program took. */
  replace(target: RuleTarget, services: readonly ProxiedService[], signal: AbortSignal): Promise<number>;
  /** Endpoints of `changed` are others now; `services` are all. Resolves with the milliseconds that the program took. */
  change(
    target: RuleTarget,
    services: readonly ProxiedService[],
    changed: readonly ProxiedService[],
    signal: AbortSignal,
  ): Promise<number>;
}

/** Undefined: this machine lacks it; `remedyOf` says what to do. */
export function findRulePeer(name: RulePeerName): RulePeer | undefined {
  const program = name === "nft" ? "nft" : `${name}-restore`;
  const asked = spawnSync(program, ["--version"], { encoding: "utf8" });
  if (asked.status !== 0) return undefined;
  const version = /v(\d\S*)/.exec(asked.stdout)?.[1] ?? asked.stdout.trim();
  if (name === "nft") {
    const command = [program, "-f", "-"];
    return {
      name,
      version,
      replace: (target, services, signal) => feed(target, command, nftablesTable(target.family, services), signal),
      change: (target, _, changed, signal) => feed(target, command, nftablesChange(target.family, changed), signal),
    };
  }
  const commandOf = ({ family }: RuleTarget): string[] => [
    family === 4 ? program : program.replace("iptables", "ip6tables"),
    "--counters",
  ];
  return {
    name,
    version,
    replace: (target, services, signal) =>
      feed(target, commandOf(target), iptablesTables(target.family, services), signal),
    change: (target, services, changed, signal) =>
      feed(target, [...commandOf(target), "--noflush"], iptablesChange(target.family, services, changed), signal),
  };
}

export function remedyOf(name: RulePeerName): string {
  return `${name} is missing: apt-get install ${name === "nft" ? "nftables" : "iptables"}`;
}

async function feed(
  { namespace }: RuleTarget,
  command: readonly string[],
  input: string,
  signal: AbortSignal,
): Promise<number> {
  const beganMs = performance.now();
  const child = spawn("nsenter", [`--net=${namespace}`, ...command], { stdio: ["pipe", "ignore", "pipe"], signal });
  // What a program that failed did not read is no news: its exit code is.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  const tookMs = performance.now() - beganMs;
  if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${String(code)}\n${said.slice(0, 2_000)}`);
  return tookMs;
}
