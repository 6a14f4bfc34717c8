/** A storm of reconnects by mTLS, beside bare node:tls that greets everybody; both with and without resumed TLS sessions. */
import type { BenchCertificates } from "../bench-certificates.ts";
import { atMost } from "../bench.ts";
import type { BenchContext, Row } from "../bench.ts";
import { LoadClient } from "../fan-out/load-client.ts";
import { Peer } from "../fan-out/peer.ts";
import { cpuTimeMs } from "../process-usage.ts";
import { elapsedOf, returned } from "./returns.ts";
import type { Return } from "./returns.ts";
import { endStage, stageOf } from "./stage.ts";

/** As in the storm without TLS. */
const shape = { services: 20, endpoints: 1_000 };
/** The resumed ones are asides; each needs the sessions of a full one before. */
const rounds = { full: 2, resumed: 1 };

interface Side {
  readonly pid: number;
  readonly load: LoadClient;
  readonly emptied: () => Promise<void>;
  readonly full: Return[];
  readonly resumed: Return[];
  /** Of the full ones, together. */
  cpuMs: number;
}

export async function tlsReconnects(
  context: BenchContext,
  agents: number,
  certificates: BenchCertificates,
): Promise<readonly Row[]> {
  const stage = await stageOf(context, agents, shape, { certificates });
  const { controlPlane } = stage;
  await stage.load.connect();
  const peer = await Peer.start(context, "tcp", agents, certificates);
  const { authority } = certificates;
  const peerLoad = LoadClient.start(context, { name: "tls", port: peer.port, agents, isTcp: true, authority });
  await peerLoad.connect();
  const start = (pid: number, load: LoadClient, emptied: () => Promise<void>): Side => {
    return { pid, load, emptied, full: [], resumed: [], cpuMs: 0 };
  };
  const weft = start(controlPlane.pid, stage.load, () => controlPlane.emptied());
  const bare = start(peer.pid, peerLoad, () => peer.emptied());
  for (let round = 0; round < rounds.full; round++) {
    context.say(`reconnects by mTLS, round ${round + 1} of ${rounds.full}`);
    for (const side of [weft, bare]) {
      const before = cpuTimeMs(side.pid);
      side.full.push(await returned(side.load, agents, side.emptied));
      side.cpuMs += cpuTimeMs(side.pid) - before;
    }
    if (round >= rounds.resumed) continue;
    for (const { load, emptied, resumed } of [weft, bare])
      resumed.push(await returned(load, agents, emptied, () => load.resume()));
  }
  await Promise.all([endStage(stage), peerLoad.stop(), peer.stop()]);
  return rowsOf(weft, bare, agents);
}

function rowsOf(weft: Side, bare: Side, agents: number): readonly Row[] {
  const [full, bareFull] = [elapsedOf(weft.full), elapsedOf(bare.full)];
  const resumedShare = (of: Side): number =>
    (100 * of.resumed.reduce((sum, { resumed }) => sum + resumed, 0)) / (agents * of.resumed.length);
  const cpuEachUs = ({ cpuMs }: Side): number => (cpuMs * 1_000) / agents / rounds.full;
  return [
    {
      what: "reconnects by mTLS (full handshakes), nothing changed: all are back",
      measured: full,
      peer: { name: "node:tls, one round trip", value: bareFull.value },
      goal: atMost(full.value / bareFull.value, 1.5, "x"),
    },
    {
      what: "reconnects by mTLS: CPU of the control plane per agent",
      measured: { value: cpuEachUs(weft), unit: "us" },
      peer: { name: "node:tls", value: cpuEachUs(bare) },
    },
    {
      what: "the same with resumed TLS sessions (no agent does that yet)",
      measured: elapsedOf(weft.resumed),
      peer: { name: "node:tls, resumed", value: elapsedOf(bare.resumed).value },
    },
    {
      what: "  handshakes that were resumed",
      measured: { value: resumedShare(weft), unit: "%" },
      peer: { name: "node:tls", value: resumedShare(bare) },
    },
  ];
}
