/** A fleet that holds nothing comes all at once to a large cluster; beside it one that is sent as many bytes by bare node:http2, or node:tls. */
import { fanoutLimits } from "@weft/controlplane/fanout/fanout-limits.ts";
import { transferLimits } from "@weft/controlplane/fanout/transfers.ts";
import type { BenchCertificates } from "../bench-certificates.ts";
import { atLeast, atMost } from "../bench.ts";
import type { BenchContext, Row } from "../bench.ts";
import { LoadClient } from "../fan-out/load-client.ts";
import type { Up } from "../fan-out/load-client.ts";
import { Peer } from "../fan-out/peer.ts";
import { processUsage } from "../process-usage.ts";
import { endStage, stageOf } from "./stage.ts";

const shape = { services: 10_000, endpoints: 10 };
const residentMaxMb = 1_024;
/** DATA of an HTTP/2 session carries so much at most, after so much framing. */
const frame = { bytes: 16_384, headerBytes: 9 };

export async function coldAgents(
  context: BenchContext,
  agents: number,
  certificates?: BenchCertificates,
): Promise<readonly Row[]> {
  const stage = await stageOf(context, agents, shape, { inflight: agents, certificates });
  const how = certificates === undefined ? "cold agents" : "cold agents by mTLS";
  context.say(`${agents} ${how}`);
  const up = await stage.load.connect();
  const { residentMb, residentPeakMb } = processUsage(stage.controlPlane.pid);
  await endStage(stage);
  const bytesEach = up.dataBytes / agents;
  const peerUp = await coldPeer(context, agents, bytesEach, certificates);
  const rate = rateOf(up);
  const peerRate = rateOf(peerUp);
  const peerName = certificates === undefined ? "node:http2" : "node:tls";
  return [
    {
      what: `${agents.toLocaleString("en-US")} ${how} at once, 10,000 x 10: all hold everything`,
      measured: { value: up.elapsedUs / 1e6, unit: "s" },
      peer: { name: peerName, value: peerUp.elapsedUs / 1e6 },
    },
    { what: `${how}: snapshot`, measured: { value: bytesEach / 2 ** 20, unit: "MB" } },
    {
      what: `${how}: sent a second`,
      measured: { value: rate, unit: "MB" },
      peer: { name: `${peerName}, the same bytes`, value: peerRate },
      ...(certificates === undefined && { goal: { ...atLeast(rate, peerRate * 0.8, "MB"), text: ">= 80 % of it" } }),
    },
    {
      what: `${how}: peak RSS of the control plane`,
      measured: { value: residentPeakMb, unit: "MB" },
      goal: atMost(residentPeakMb, residentMaxMb, "MB"),
    },
    { what: `${how}: RSS of the control plane when all are up`, measured: { value: residentMb, unit: "MB" } },
  ];
}

// As many at a time, in parts as large.
async function coldPeer(
  context: BenchContext,
  agents: number,
  bytesEach: number,
  certificates: BenchCertificates | undefined,
): Promise<Up> {
  const isTcp = certificates !== undefined;
  context.say(`${agents} clients of a bare ${isTcp ? "TLS" : "http2"} server`);
  const peer = await Peer.start(context, isTcp ? "tcp" : "http2", agents, certificates);
  const bytes = isTcp ? Math.round(bytesEach) : Math.round(bytesEach * (1 - frame.headerBytes / frame.bytes));
  peer.snapshot({ bytes, partBytes: transferLimits.partBytesMax, inFlightMax: fanoutLimits.snapshotsMax });
  const authority = certificates?.authority;
  const sizes = { agents, inflight: agents };
  const load = LoadClient.start(context, { name: "cold-peer", port: peer.port, ...sizes, isTcp, authority });
  const up = await load.connect();
  await Promise.all([load.stop(), peer.stop()]);
  if (Math.abs(up.dataBytes / agents / bytesEach - 1) > 0.01)
    throw new Error(`the peer sent ${up.dataBytes / agents} bytes to each, not ${bytesEach}`);
  return up;
}

/** Megabytes a second. */
function rateOf({ dataBytes, elapsedUs }: Up): number {
  return dataBytes / 2 ** 20 / (elapsedUs / 1e6);
}
