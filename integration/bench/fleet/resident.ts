/**
 * What a control plane of a large cluster holds: for the cluster, for each agent without and with TLS. The agents come with their
 * state: what a fleet that comes with nothing costs is seen in `cold-agents.ts`, what agents that stall cost in `stalls`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { BenchCertificates } from "../bench-certificates.ts";
import { atMost } from "../bench.ts";
import type { BenchContext, Row } from "../bench.ts";
import { settled } from "../memory/process-memory.ts";
import { bursts } from "./bursts.ts";
import type { Burst } from "./bursts.ts";
import { memoryOf } from "./control-plane-memory.ts";
import type { ControlPlaneMemory } from "./control-plane-memory.ts";
import { endStage, stageOf } from "./stage.ts";
import type { Stage } from "./stage.ts";

const shape = { services: 10_000, endpoints: 25 };
const backends = shape.services * shape.endpoints;
const residentMaxMb = { plain: 1_024, tls: 1_536 };
/** For what is done once after all have connected. */
const calmMs = 3_000;
const burstsMade = 5;

export async function resident(
  context: BenchContext,
  agents: number,
  certificates: BenchCertificates,
): Promise<readonly Row[]> {
  const plainStage = await stageOf(context, agents, shape);
  const plain = await measured(plainStage);
  await endStage(plainStage);

  const tlsStage = await stageOf(context, agents, shape, { certificates });
  const tls = await measured(tlsStage);
  await endStage(tlsStage);
  noteComponents(context, plain, tls, agents);
  const { residentMb, heapMb, externalMb } = plain.alone;
  return [
    { what: "RSS of the control plane, 10,000 x 25, no agents", measured: { value: residentMb, unit: "MB" } },
    {
      what: "  all objects and buffers, by backend (catalog, source, everything)",
      measured: { value: ((heapMb + externalMb) * 2 ** 20) / backends, unit: "bytes" },
    },
    ...rowsOf("without TLS", plain, residentMaxMb.plain, agents),
    ...rowsOf("mTLS", tls, residentMaxMb.tls, agents),
  ];
}

/** Of one control plane, in this order. */
interface Measures {
  readonly alone: ControlPlaneMemory;
  readonly connected: ControlPlaneMemory;
  readonly changed: ControlPlaneMemory;
  readonly burst: Burst;
}

async function measured(stage: Stage): Promise<Measures> {
  const { context, controlPlane, load, agents } = stage;
  context.say("the control plane gives back what it needed to load the cluster");
  await settled(context.signal);
  const alone = await memoryOf(controlPlane);
  context.say(`${agents} agents come with their state`);
  await load.seed();
  await load.connect();
  await sleep(calmMs);
  const connected = await memoryOf(controlPlane);
  context.say(`${burstsMade} times much changes`);
  const burst = await bursts(stage, burstsMade);
  await sleep(calmMs);
  return { alone, connected, changed: await memoryOf(controlPlane), burst };
}

function rowsOf(
  how: string,
  { alone, connected, changed, burst }: Measures,
  maxMb: number,
  agents: number,
): readonly Row[] {
  const size = `10,000 x 25, ${agents.toLocaleString("en-US")} agents, ${how}`;
  const sentKb = ((burst.bytesEach * burstsMade) / 1_024).toFixed(0);
  const eachKb = (of: ControlPlaneMemory): number => ((of.residentMb - alone.residentMb) * 1_024) / agents;
  return [
    {
      what: `RSS of the control plane, ${size}`,
      measured: { value: connected.residentMb, unit: "MB" },
      goal: atMost(connected.residentMb, maxMb, "MB"),
    },
    { what: "  of that for each agent", measured: { value: eachKb(connected), unit: "KB" } },
    {
      what: `  after each was sent ${sentKb} KB of changes`,
      measured: { value: changed.residentMb, unit: "MB" },
      goal: atMost(changed.residentMb, maxMb, "MB"),
    },
    { what: "  of that for each agent", measured: { value: eachKb(changed), unit: "KB" } },
  ];
}

function noteComponents({ note }: BenchContext, plain: Measures, tls: Measures, agents: number): void {
  const each = ({ alone, connected }: Measures): string => {
    const kilobytes = (mb: (of: ControlPlaneMemory) => number): string =>
      (((mb(connected) - mb(alone)) * 1_024) / agents).toFixed(1);
    return `${kilobytes(({ heapMb }) => heapMb)} KB objects, ${kilobytes(({ externalMb }) => externalMb)} KB buffers`;
  };
  const { residentMb, heapMb, externalMb, catalogMb } = plain.alone;
  note(
    `memory by component: of ${residentMb.toFixed(0)} MB without agents ${heapMb.toFixed(0)} are objects, ` +
      `${externalMb.toFixed(0)} buffers, the rest runtime, code and free pages; encoded resources are ` +
      `${catalogMb.toFixed(1)} MB of it, ${((catalogMb * 2 ** 20) / backends).toFixed(0)} bytes a backend; ` +
      `an agent adds ${each(plain)}, by mTLS ${each(tls)} (garbage not collected yet included); ` +
      `the rest of its RSS is native: sessions of HTTP/2 and TLS, free pages`,
  );
}
