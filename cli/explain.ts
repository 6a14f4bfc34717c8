/** `weft explain`: where a connection would go, and why. */
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { Explainer } from "@weft/nodeagent/plan/explain/explainer.ts";
import { flowAnswerLine } from "@weft/nodeagent/plan/explain/flow.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import { writeLines, writeOut } from "@weft/proto/program/stdout.ts";
import type { ExplainValues } from "./commands.ts";
import { explainText } from "./explain-text.ts";
import { parseFlowLine } from "./flow-line.ts";
import { LineSplitter, type SplitLine } from "./line-splitter.ts";
import { note } from "./output.ts";
import { conflictsOf } from "./plan-source.ts";
import { readPlanSource } from "./read-plan-source.ts";

const lineCharactersMax = 65_536;

export async function runExplain(values: ExplainValues, signal: AbortSignal): Promise<ExitCode> {
  const { input, node, serviceCidrs, names, refusals } = await readPlanSource(values, signal);
  const explainer = new Explainer(input, node, {
    clusterCidrs: values.clusterCidr,
    serviceCidrs: [...serviceCidrs, ...values.serviceCidr],
    nameOf: (id) => names.get(id),
  });
  const refused = [...refusals, ...conflictsOf(explainer.notices)];
  for (const refusal of refused) note(refusal);
  const isWell = (await answerAll(values, explainer, signal)) && refused.length === 0;
  return isWell ? exitCodes.ok : exitCodes.usage;
}

// False: a line was no connection.
async function answerAll(values: ExplainValues, explainer: Explainer, signal: AbortSignal): Promise<boolean> {
  const { from, to, flows, node } = values;
  if (from === undefined || to === undefined) return answerFlows(flows ?? "-", explainer, signal);
  const flow = { from, to: to.address, port: to.port, protocol: to.protocol };
  const answer = explainer.answer(flow);
  if (values.output === "json") await writeLines([flowAnswerLine(answer)]);
  else await writeOut(explainText(node, flow, answer, explainer.trail(flow)));
  return true;
}

async function answerFlows(file: string, explainer: Explainer, signal: AbortSignal): Promise<boolean> {
  let isWell = true;
  const answerLine = (line: SplitLine): string => {
    const parsed =
      line.kind === "line"
        ? parseFlowLine(line.text)
        : ({ ok: false, problem: `a line has at most ${lineCharactersMax} characters` } as const);
    if (parsed.ok) return flowAnswerLine(explainer.answer(parsed.value));
    isWell = false;
    return JSON.stringify({ error: parsed.problem });
  };
  const splitter = new LineSplitter(lineCharactersMax);
  const stream = (await openFlows(file)).setEncoding("utf8");
  const stop = (): unknown => stream.destroy();
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    // What was read is answered before more is read.
    for await (const chunk of stream) await writeLines(splitter.push(String(chunk)).map(answerLine));
    await writeLines(splitter.end().map(answerLine));
  } catch (error) {
    if (signal.aborted) throw new ProgramError("failed", "interrupted", { remedy: "", cause: error });
    throw unreadable(file, error);
  } finally {
    signal.removeEventListener("abort", stop);
  }
  return isWell;
}

async function openFlows(file: string): Promise<Readable> {
  if (file === "-") return process.stdin;
  try {
    return (await open(file)).createReadStream();
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, cause: unknown): ProgramError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ProgramError("not-found", `the flows in ${file} cannot be read: ${why}`, {
    remedy: "give --flows the path of a file, or - for stdin",
    cause,
  });
}
