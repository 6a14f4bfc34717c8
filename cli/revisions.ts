/** `weft revisions`: commits, and how soon nodes ran them. */
import type { Commit, WatchRevisionsResponse } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import { writeLines, writeOut } from "@weft/proto/program/stdout.ts";
import type { RevisionsValues } from "./commands.ts";
import { FleetClient } from "./fleet-client.ts";
import { table } from "./output.ts";
import { printMicroseconds } from "./printed.ts";

/** The past comes in one burst; a pause of this length ends it. */
const pastPauseMs = 300;

type RevisionEvent = WatchRevisionsResponse["event"];

export async function runRevisions(values: RevisionsValues, signal: AbortSignal): Promise<ExitCode> {
  const ended = new AbortController();
  using client = FleetClient.connect(values, AbortSignal.any([signal, ended.signal]));
  const past: RevisionEvent[] = [];
  // Also tells an unreachable control plane from one that has no revisions yet.
  if (!values.watch) await client.getStatus(true);
  let pause = values.watch ? undefined : setTimeout(() => ended.abort(), pastPauseMs);
  try {
    for await (const { event } of client.watchRevisions(values.past)) {
      if (values.watch) await writeLines(values.output === "json" ? jsonLine(event) : textLine(event));
      else {
        past.push(event);
        clearTimeout(pause);
        pause = setTimeout(() => ended.abort(), pastPauseMs);
      }
    }
  } catch (error) {
    if (!signal.aborted && !ended.signal.aborted) throw error;
  } finally {
    clearTimeout(pause);
  }
  if (!values.watch) {
    if (values.output === "json") await writeLines(past.flatMap(jsonLine));
    else await writeOut(pastTable(past));
  }
  return exitCodes.ok;
}

// None for an event that is newer than this program.
function jsonLine(event: RevisionEvent): readonly string[] {
  switch (event.case) {
    case "commit": {
      const { revision, puts, removals, bytes, committedAtUs, services } = event.value;
      const committedAt = committedTime(event.value);
      return [
        JSON.stringify({
          event: "commit",
          revision: Number(revision),
          puts,
          removals,
          bytes: Number(bytes),
          committedAt,
          committedAtUs: Number(committedAtUs),
          services,
        }),
      ];
    }
    case "ack": {
      const { node, revision, commitToAckUs, durations, failuresTotal } = event.value;
      const receivedToActiveUs = durations?.receivedToActiveUs ?? null;
      return [
        JSON.stringify({
          event: "ack",
          node,
          revision: Number(revision),
          commitToAckUs: Number(commitToAckUs),
          receivedToActiveUs,
          failures: failuresTotal,
        }),
      ];
    }
    case "convergence": {
      const { revision, percent, elapsedUs, nodes } = event.value;
      return [
        JSON.stringify({
          event: "convergence",
          revision: Number(revision),
          percent,
          elapsedUs: Number(elapsedUs),
          nodes,
        }),
      ];
    }
    default:
      return [];
  }
}

function textLine(event: RevisionEvent): readonly string[] {
  switch (event.case) {
    case "commit": {
      const { revision, puts, removals, bytes, services } = event.value;
      return [
        `${committedTime(event.value)} revision ${revision}: ${puts} put, ${removals} removed, ${bytes} bytes: ${services.join(", ") || "-"}`,
      ];
    }
    case "ack": {
      const { node, revision, commitToAckUs, durations, failuresTotal } = event.value;
      const active =
        durations === undefined ? "" : `, received to active ${printMicroseconds(durations.receivedToActiveUs)}`;
      const failures = failuresTotal === 0 ? "" : `, ${failuresTotal} failures`;
      return [
        `  revision ${revision} on ${node}: ${printMicroseconds(Number(commitToAckUs))} after the commit${active}${failures}`,
      ];
    }
    case "convergence": {
      const { revision, percent, elapsedUs, nodes } = event.value;
      return [`  revision ${revision} on ${percent} % of ${nodes} nodes after ${printMicroseconds(Number(elapsedUs))}`];
    }
    default:
      return [];
  }
}

function pastTable(events: readonly RevisionEvent[]): string {
  const elapsed = new Map<string, string>();
  for (const event of events) {
    if (event.case !== "convergence") continue;
    const { revision, percent, elapsedUs } = event.value;
    elapsed.set(`${revision} ${percent}`, printMicroseconds(Number(elapsedUs)));
  }
  const rows = events.flatMap((event) => {
    if (event.case !== "commit") return [];
    const { revision, puts, removals, bytes, services } = event.value;
    const shares = [50, 90, 99, 100].map((percent) => elapsed.get(`${revision} ${percent}`) ?? "-");
    return [
      [
        String(revision),
        committedTime(event.value),
        String(puts),
        String(removals),
        String(bytes),
        ...shares,
        services.join(",") || "-",
      ],
    ];
  });
  return table(["REVISION", "COMMITTED", "PUT", "REMOVED", "BYTES", "50 %", "90 %", "99 %", "100 %", "SERVICES"], rows);
}

function committedTime({ committedAtUs }: Commit): string {
  return new Date(Number(committedAtUs / 1_000n)).toISOString();
}
