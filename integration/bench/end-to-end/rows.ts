/** Numbers to rows, with the goals. Pure. */
import { atMost } from "../bench.ts";
import type { Goal, Row, Unit } from "../bench.ts";
import { median, quantile, tail } from "../quantiles.ts";
import { endpointsPerService } from "./api-objects.ts";
import type { EventBytes } from "./measure-bytes.ts";
import { changesPerSecond } from "./measure-proxy.ts";
import type { ProxyNumbers } from "./measure-proxy.ts";

/** More CPU than this for ten times the services has grown with them; runs of one size differ by a tenth. */
const growthMost = 1.25;

export function rowsOf(weft: ProxyNumbers, peer: ProxyNumbers | undefined): readonly Row[] {
  const size = `${weft.services.toLocaleString("en-US")} x ${endpointsPerService}`;
  const row = (what: string, unit: Unit, value: (of: ProxyNumbers) => number, limit?: number): Row => ({
    what,
    measured: { value: value(weft), unit },
    ...(peer === undefined ? {} : { peer: { name: peer.name, value: value(peer) } }),
    ...(limit === undefined ? {} : { goal: atMost(value(weft), limit, unit) }),
  });
  const spread = (one: Row, values: readonly number[]): Row => ({
    ...one,
    measured: { ...one.measured, spread: tail(values) },
  });
  const steady = `${changesPerSecond} changes/s`;
  const controlplane = weft.quiet.cpuMs.controlplane ?? 0;
  const controlplaneMb = weft.residentMb.controlplane ?? 0;
  return [
    spread(
      row(`live, quiet, p50, ${size}`, "ms", ({ quiet }) => median(quiet.liveMs), 10),
      weft.quiet.liveMs,
    ),
    row("live, quiet, p99", "ms", ({ quiet }) => quantile(quiet.liveMs, 0.99), 30),
    spread(
      row(`live, ${steady}, p50`, "ms", (of) => median(of.steady.liveMs), 15),
      weft.steady.liveMs,
    ),
    row(`live, ${steady}, worst`, "ms", (of) => quantile(of.steady.liveMs, 1), 150),
    row("node CPU per quiet change", "ms", ({ quiet }) => quiet.cpuMs.agent, 5),
    row(`node CPU per change, ${steady}`, "ms", (of) => of.steady.cpuMs.agent),
    { what: "control plane CPU per quiet change", measured: { value: controlplane, unit: "ms" } },
    row("cold agent started to first connect", "s", ({ coldMs }) => coldMs / 1_000, 3),
    row("RSS on the node", "MB", ({ residentMb }) => residentMb.agent),
    { what: "RSS of the control plane", measured: { value: controlplaneMb, unit: "MB" } },
  ];
}

/** Whether a change costs a node more where there are more services. */
export function growthRow(small: ProxyNumbers, large: ProxyNumbers): Row {
  const ratio = large.quiet.cpuMs.agent / small.quiet.cpuMs.agent;
  const goal: Goal = { text: `<= ${growthMost}x`, isMet: ratio <= growthMost };
  return {
    what: `node CPU per quiet change, against ${small.services.toLocaleString("en-US")} services`,
    measured: { value: large.quiet.cpuMs.agent, unit: "ms" },
    peer: { name: `${small.services.toLocaleString("en-US")} services`, value: small.quiet.cpuMs.agent },
    goal,
  };
}

export function bytesRow({ endpoints, delta, event }: EventBytes): Row {
  return {
    what: `sent to a node for one endpoint of a slice of ${endpoints}`,
    measured: { value: delta, unit: "bytes" },
    peer: { name: "API event", value: event },
  };
}
