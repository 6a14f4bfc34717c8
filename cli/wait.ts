/** `weft wait`: until nodes run a revision, or until none can choose a backend. Outlives its connection within its timeout. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import { addressBytes } from "@weft/proto/address.ts";
import { WaitOutcome, type WaitRequestSchema, type WaitResult } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import { ProgramError, messageOf } from "@weft/proto/program/errors.ts";
import { writeOut } from "@weft/proto/program/stdout.ts";
import type { WaitValues } from "./commands.ts";
import { FleetClient } from "./fleet-client.ts";
import { isConnectionLoss } from "./fleet-error.ts";
import { note } from "./output.ts";

/** Pause before a lost connection is tried again. */
const retryMs = 250;
/** What the control plane may be late with its own end of the wait. */
const lateMsMax = 2_000;

type WaitInit = Exclude<MessageInitShape<typeof WaitRequestSchema>, Message>;
type Outcome = "done" | "timeout" | "epoch-ended";

interface Result {
  readonly outcome: Outcome;
  readonly have: number;
  readonly need: number;
  readonly missing: readonly { readonly node: string; readonly applied: number; readonly reason: string }[];
  readonly notes: readonly string[];
}

export async function runWait(values: WaitValues, signal: AbortSignal): Promise<ExitCode> {
  const deadlineMs = performance.now() + values.timeout;
  using client = FleetClient.connect(values, signal);
  const target = await readTarget(values, client);
  const result = await waitFor(client, { ...target, quorum: readQuorum(values) }, deadlineMs, signal);
  await writeOut(values.output === "json" ? `${JSON.stringify(result)}\n` : printText(result));
  return exitCodeOf(result.outcome);
}

async function waitFor(
  client: FleetClient,
  request: WaitInit,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<Result> {
  const notes: string[] = [];
  let loss = "";
  for (let leftMs = deadlineMs - performance.now(); leftMs > 0; leftMs = deadlineMs - performance.now()) {
    try {
      for await (const { event } of client.wait({ ...request, timeoutMs: Math.ceil(leftMs) }, leftMs + lateMsMax)) {
        if (event.case === "note" && !notes.includes(event.value)) {
          notes.push(event.value);
          note(event.value);
        } else if (event.case === "result") return readResult(event.value, notes);
      }
      loss = `control plane ${client.target} ended the wait without a result`;
    } catch (error) {
      if (signal.aborted || !isConnectionLoss(error)) throw error;
      if (loss === "") note(`${messageOf(error)}; trying again until the timeout`);
      loss = messageOf(error);
    }
    await sleep(Math.min(retryMs, Math.max(0, deadlineMs - performance.now())), undefined, { signal }).catch(
      () => undefined,
    );
    if (signal.aborted) throw new ProgramError("failed", "interrupted", { remedy: "" });
  }
  return { outcome: "timeout", have: 0, need: 0, missing: [], notes: loss === "" ? notes : [...notes, loss] };
}

// A bare revision is bound to the epoch of now: after a reconnect the same number could be another history's.
async function readTarget(values: WaitValues, client: FleetClient): Promise<Pick<WaitInit, "cursor" | "drained">> {
  const { status } = await client.getStatus(true);
  if (values.revision === undefined) {
    return {
      drained: values.drained.map(({ address, port }) => ({ address: Uint8Array.from(addressBytes(address)), port })),
    };
  }
  const { epoch, revision } = values.revision;
  const asked = epoch === undefined ? status?.epoch : { createdMs: BigInt(epoch.createdMs), random: epoch.random };
  return { cursor: { ...(asked === undefined ? {} : { epoch: asked }), revision: BigInt(revision) } };
}

function readQuorum({ quorum }: WaitValues): NonNullable<WaitInit["quorum"]> {
  return quorum.kind === "count"
    ? { kind: { case: "nodes", value: quorum.count } }
    : { kind: { case: "percent", value: quorum.percent } };
}

function readResult(of: WaitResult, noted: readonly string[]): Result {
  const outcome = outcomes[of.outcome];
  if (outcome === undefined) {
    throw new ProgramError(
      "unsupported",
      `the control plane ended the wait with outcome ${of.outcome}, which this version does not know`,
      { remedy: "update weft" },
    );
  }
  const missing = of.missing.map(({ node, applied, reason }) => ({ node, applied: Number(applied), reason }));
  return { outcome, have: of.have, need: of.need, missing, notes: [...new Set([...noted, ...of.notes])] };
}

const outcomes: Readonly<Record<number, Outcome>> = {
  [WaitOutcome.DONE]: "done",
  [WaitOutcome.TIMEOUT]: "timeout",
  [WaitOutcome.EPOCH_ENDED]: "epoch-ended",
};

function exitCodeOf(outcome: Outcome): ExitCode {
  switch (outcome) {
    case "done":
      return exitCodes.ok;
    case "timeout":
      return exitCodes.timedOut;
    case "epoch-ended":
      return exitCodes.failed;
  }
}

function printText({ outcome, have, need, missing, notes }: Result): string {
  const words = {
    done: "done",
    timeout: "timed out",
    "epoch-ended": "the epoch ended: its revisions are void, ask again",
  };
  const lines = missing.map(({ node, applied, reason }) => `  missing ${node} (at revision ${applied}): ${reason}\n`);
  // The count alone would read as done.
  const last = outcome === "timeout" && have >= need ? notes.at(-1) : undefined;
  if (last !== undefined) lines.push(`  not done: ${last}\n`);
  return `${words[outcome]}: ${have} of ${need} nodes\n${lines.join("")}`;
}
