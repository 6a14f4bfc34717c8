/** A storm of reconnects without TLS, beside bare node:http2. */
import { setTimeout as sleep } from "node:timers/promises";
import { fanoutLimits } from "@weft/controlplane/fanout/fanout-limits.ts";
import { atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import { LoadClient } from "../fan-out/load-client.ts";
import { Peer } from "../fan-out/peer.ts";
import { median } from "../quantiles.ts";
import { elapsedOf, returned } from "./returns.ts";
import type { Return } from "./returns.ts";
import type { Stage } from "./stage.ts";

const rounds = 3;

export async function reconnects({ context, agents, controlPlane, load }: Stage): Promise<readonly Row[]> {
  const peer = await Peer.start(context, "http2", agents);
  const peerLoad = LoadClient.start(context, { name: "http2", port: peer.port, agents });
  await peerLoad.connect();
  const weft: Return[] = [];
  const http2: Return[] = [];
  for (let round = 0; round < rounds; round++) {
    // One storm is let in at once; several in a row are not, and are told to come later.
    await sleep((agents / fanoutLimits.pace.perSecond) * 1_000);
    context.say(`reconnects, round ${round + 1} of ${rounds}`);
    weft.push(await returned(load, agents, () => controlPlane.emptied()));
    http2.push(await returned(peerLoad, agents, () => peer.emptied()));
  }
  await Promise.all([peerLoad.stop(), peer.stop()]);
  const [ofWeft, ofPeer] = [elapsedOf(weft), elapsedOf(http2)];
  const bytes = median(weft.map(({ bytesEach }) => bytesEach));
  return [
    {
      what: "reconnects, nothing changed: all are back",
      measured: ofWeft,
      peer: { name: "node:http2 sessions with a stream", value: ofPeer.value },
      goal: atMost(ofWeft.value / ofPeer.value, 1.3, "x"),
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
