/** The lines of `weft plan` and `weft-agent dump` (S1, S2). Their form is part of the contract with people's scripts. */
import { compareText, printSocketAddress } from "@weft/proto/address.ts";
import type { Frontend } from "./frontend.ts";
import type { Targets } from "./targets.ts";

/** One line of JSON without its line end, keys in the contract's order. */
export function planLine(of: Frontend): string {
  return lineOf(of, printTargets(of.targets));
}

/** All lines, ordered by address (text), port (number), protocol, scope. */
export function planLines(frontends: Iterable<Frontend>): string[] {
  // Frontends of one service port share their targets; printing them once is most of the time saved on a large node.
  const printed = new Map<Targets, readonly string[]>();
  return [...frontends].toSorted(compareFrontends).map((frontend) => {
    const backends = printed.get(frontend.targets) ?? printTargets(frontend.targets);
    printed.set(frontend.targets, backends);
    return lineOf(frontend, backends);
  });
}

export function compareFrontends(a: Frontend, b: Frontend): number {
  return (
    compareText(a.address, b.address) ||
    a.port - b.port ||
    compareText(a.protocol, b.protocol) ||
    compareText(a.scope, b.scope)
  );
}

function printTargets(targets: Targets): readonly string[] {
  return targets.map(({ address, port }) => printSocketAddress(address, port)).toSorted(compareText);
}

function lineOf(of: Frontend, backends: readonly string[]): string {
  const { address, port, protocol, kind, scope, servicePort, action, affinitySeconds } = of;
  return JSON.stringify({
    address,
    port,
    protocol,
    kind,
    scope,
    service: servicePort,
    action,
    backends,
    affinitySeconds,
  });
}
