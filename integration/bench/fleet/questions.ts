/** What people and pipelines ask while thousands of agents are connected, as `weft status` and `weft wait` ask it. */
import { FleetClient } from "@weft/cli/fleet-client.ts";
import { WaitOutcome } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import { quantile, tail } from "../quantiles.ts";
import type { Stage } from "./stage.ts";

const rounds = 200;
const waitMs = 10_000;
const goalMs = 100;
const plaintext = { tlsCa: undefined, tlsCert: undefined, tlsKey: undefined, tlsServerName: undefined, insecure: true };

export async function questions({ context, controlPlane, agents }: Stage): Promise<readonly Row[]> {
  context.say("status and wait");
  const controlplane = { host: "127.0.0.1", port: controlPlane.port };
  using client = FleetClient.connect({ controlplane, ...plaintext }, context.signal);
  const { status } = await client.getStatus(true);
  const cursor = { epoch: status?.epoch, revision: status?.revision ?? 0n };
  const size = `${agents.toLocaleString("en-US")} agents`;
  const row = (what: string, tookMs: readonly number[]): Row => ({
    what: `${what}, ${size}, p99`,
    measured: { value: quantile(tookMs, 0.99), unit: "ms", spread: tail(tookMs) },
    goal: atMost(quantile(tookMs, 0.99), goalMs, "ms"),
  });
  const askStatus = async (): Promise<void> => void (await client.getStatus());
  const [firstMs = 0] = await times(1, askStatus);
  return [
    { what: `the first status of each node, both programs cold, ${size}`, measured: { value: firstMs, unit: "ms" } },
    row("the status of each node", await times(rounds, askStatus)),
    row(
      "a wait for what runs on all",
      await times(rounds, async () => {
        let isDone = false;
        for await (const { event } of client.wait({ cursor, timeoutMs: waitMs }, waitMs)) {
          isDone ||= event.case === "result" && event.value.outcome === WaitOutcome.DONE;
        }
        if (!isDone) throw new Error("the control plane ended a wait for what runs on all otherwise than by done");
      }),
    ),
  ];
}

async function times(asked: number, ask: () => Promise<void>): Promise<readonly number[]> {
  const tookMs: number[] = [];
  for (let round = 0; round < asked; round++) {
    const fromMs = performance.now();
    await ask();
    tookMs.push(performance.now() - fromMs);
  }
  return tookMs;
}
