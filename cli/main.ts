/** The `weft` command. What a command needs is loaded once it is known which one runs: `weft plan` starts without gRPC. */
import type { ExitCode } from "@weft/proto/program/exit.ts";
import { answerNotRun, runMain } from "@weft/proto/program/main.ts";
import { parseProgram } from "@weft/proto/program/parse.ts";
import { weft } from "./commands.ts";

async function main(signal: AbortSignal): Promise<ExitCode> {
  const parsed = parseProgram(weft, process.argv.slice(2), process.env);
  if (parsed.kind !== "run") return answerNotRun("weft", parsed);
  switch (parsed.command) {
    case "plan":
      return (await import("./plan.ts")).runPlan(parsed.values, signal);
    case "explain":
      return (await import("./explain.ts")).runExplain(parsed.values, signal);
    case "status":
      return (await import("./status.ts")).runStatus(parsed.values, signal);
    case "wait":
      return (await import("./wait.ts")).runWait(parsed.values, signal);
    case "get services":
      return (await import("./get.ts")).runGetServices(parsed.values, signal);
    case "get backends":
      return (await import("./get.ts")).runGetBackends(parsed.values, signal);
    case "confirm-removal":
      return (await import("./confirm-removal.ts")).runConfirmRemoval(parsed.values, signal);
    case "trace":
      return (await import("./trace.ts")).runTrace(parsed.values, signal);
    case "revisions":
      return (await import("./revisions.ts")).runRevisions(parsed.values, signal);
  }
}

runMain("weft", main);
