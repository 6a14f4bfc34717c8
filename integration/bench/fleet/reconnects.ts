/** All agents lose their connections at once, and come back to a control plane in which nothing has changed. */
import { atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import { LoadClient } from "../fan-out/load-client.ts";
import type { Peer } from "../fan-out/peer.ts";
import { extremes, median } from "../quantiles.ts";
import type { Stage } from "./stage.ts";

const rounds = 5;

interface Return {
  readonly elapsedMs: number;
  /** To each, and from each. */
  readonly bytesEach: number;
  readonly sentBytesEach: number;
}

export async function reconnects(stage: Stage, peer: Peer): Promise<readonly Row[]> {
  const { context, agents, controlPlane } = stage;
  const peerLoad = LoadClient.start(context, { name: "http2", port: peer.port, agents });
  await peerLoad.connect();
  const weft: Return[] = [];
  const http2: Return[] = [];
  for (let round = 0; round < rounds; round++) {
    context.say(`reconnects, round ${round + 1} of ${rounds}`);
    weft.push(
      await returned(stage.load, agents, () => controlPlane.until(({ weft_fanout_streams: open }) => open === 0)),
    );
    http2.push(await returned(peerLoad, agents, () => peer.emptied()));
  }
  await peerLoad.stop();
  const elapsed = (of: readonly Return[]): number => median(of.map(({ elapsedMs }) => elapsedMs));
  const bytes = median(weft.map(({ bytesEach }) => bytesEach));
  return [
    {
      what: "reconnects, nothing changed: all are back",
      measured: { value: elapsed(weft), unit: "ms", spread: extremes(weft.map(({ elapsedMs }) => elapsedMs)) },
      peer: { name: "node:http2 sessions with a stream", value: elapsed(http2) },
      goal: atMost(elapsed(weft) / elapsed(http2), 1.3, "x"),
    },
    {
      what: "reconnects: bytes to each (HTTP/2 DATA with framing)",
      measured: { value: bytes, unit: "bytes" },
      goal: atMost(bytes, 200, "bytes"),
    },
    {
      what: "reconnects: bytes from each",
      measured: { value: median(weft.map(({ sentBytesEach }) => sentBytesEach)), unit: "bytes" },
    },
  ];
}

async function returned(load: LoadClient, agents: number, emptied: () => Promise<void>): Promise<Return> {
  await load.close();
  await emptied();
  const before = await load.counts();
  const up = await load.connect();
  return {
    elapsedMs: up.elapsedUs / 1_000,
    bytesEach: (up.dataBytes - before.dataBytes) / agents,
    sentBytesEach: (up.sentDataBytes - before.sentDataBytes) / agents,
  };
}
