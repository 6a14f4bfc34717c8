/**
 * The text form of a scenario: Markdown whose fenced blocks are read strictly, and whose prose is for people. README.md of this
 * folder says what each block means.
 */
import { detectAddresses } from "../lab/lab-node.ts";
import { parseBind, parseConnection, parseOpen, parseUse } from "./scenario-lines.ts";
import type { BindAttempt, Connection, Opening, Use } from "./scenario-lines.ts";

export interface Scenario {
  readonly title: string;
  /** Further flags of the agents while it is played. */
  readonly agentFlags: readonly string[];
  readonly steps: readonly ScenarioStep[];
}

export interface ScenarioStep {
  readonly title: string;
  /** All of them are made before the first check. */
  readonly edits: readonly Edit[];
  /** In order. */
  readonly checks: readonly Check[];
}

export type Edit =
  | { readonly kind: "write"; readonly file: string; readonly text: string }
  | { readonly kind: "remove"; readonly file: string }
  /** From then on these addresses, and no others, are on a device of the node beside its own. */
  | { readonly kind: "assign"; readonly node: string; readonly addresses: readonly string[] }
  | { readonly kind: "restart"; readonly node: string };

/** Where a client runs: in a pod, in a second pod of that node, in the node's own namespace. */
export type Place = "pod" | "other-pod" | "host";

export type Check =
  | { readonly kind: "frontends"; readonly node: string; readonly lines: readonly string[] }
  | {
      readonly kind: "connect";
      readonly node: string;
      readonly places: readonly Place[];
      readonly connections: readonly Connection[];
    }
  | { readonly kind: "open"; readonly node: string; readonly place: Place; readonly openings: readonly Opening[] }
  | { readonly kind: "use"; readonly uses: readonly Use[] }
  | { readonly kind: "bind"; readonly node: string; readonly place: Place; readonly attempts: readonly BindAttempt[] }
  | { readonly kind: "failures"; readonly node: string; readonly lines: readonly string[] }
  /** `node` undefined: of the control plane. */
  | { readonly kind: "log"; readonly node: string | undefined; readonly texts: readonly string[] }
  | { readonly kind: "pause"; readonly ms: number };

interface Fence {
  readonly word: string;
  readonly argument: string;
  readonly lines: readonly string[];
  /** Line number of its start, from 1. */
  readonly line: number;
}

interface Draft {
  readonly title: string;
  readonly edits: Edit[];
  readonly checks: Check[];
}

const pauseMsMax = 5_000;

/** On a memory dataplane there is no node with addresses of its own. */
export function needsKernel({ agentFlags, steps }: Scenario): boolean {
  return agentFlags.includes(detectAddresses) || steps.some(({ edits }) => edits.some(({ kind }) => kind === "assign"));
}

/** @throws Error naming the line, for anything that is not exactly this form. */
export function parseScenario(text: string): Scenario {
  let title = "";
  let agentFlags: readonly string[] = [];
  const steps: Draft[] = [];
  let fence: { word: string; argument: string; lines: string[]; line: number } | undefined;
  for (const [i, line] of text.split("\n").entries()) {
    const opening = /^```(\S*) ?(.*)$/.exec(line);
    if (fence !== undefined) {
      if (line !== "```") fence.lines.push(line);
      else {
        const step = steps.at(-1);
        if (step !== undefined) addFence(step, fence);
        else if (fence.word === "agents") agentFlags = parseAgents(fence);
        else throw new Error(`line ${fence.line}: a block before the first step (##)`);
        fence = undefined;
      }
    } else if (opening !== null) {
      fence = { word: opening[1] ?? "", argument: opening[2] ?? "", lines: [], line: i + 1 };
    } else if (line.startsWith("# ")) title = line.slice(2);
    else if (line.startsWith("## ")) steps.push({ title: line.slice(3), edits: [], checks: [] });
  }
  if (fence !== undefined) throw new Error(`line ${fence.line}: the block is not closed`);
  if (title === "" || steps.length === 0) throw new Error("a scenario has a title (#) and steps (##)");
  const idle = steps.find((step) => step.checks.every(({ kind }) => kind === "pause"));
  if (idle !== undefined) throw new Error(`step "${idle.title}" checks nothing`);
  return { title, agentFlags, steps };
}

function addFence(step: Draft, fence: Fence): void {
  const { word, argument, lines, line } = fence;
  switch (word) {
    case "yaml":
      step.edits.push({ kind: "write", file: fileName(fence), text: `${lines.join("\n")}\n` });
      return;
    case "remove":
      expectNoLines(fence);
      step.edits.push({ kind: "remove", file: fileName(fence) });
      return;
    case "assign":
      step.edits.push({ kind: "assign", node: nodeName(fence), addresses: lines });
      return;
    case "restart":
      expectNoLines(fence);
      step.edits.push({ kind: "restart", node: nodeName(fence) });
      return;
    case "frontends":
    case "failures":
      step.checks.push({ kind: word, node: nodeName(fence), lines: lines.filter((text) => text !== "").toSorted() });
      return;
    case "connect": {
      const { node, place } = nodeAndPlace(fence);
      const places = place === undefined ? (["pod", "host"] as const) : [place];
      step.checks.push({ kind: word, node, places, connections: parseLines(fence, parseConnection) });
      return;
    }
    case "open":
    case "bind": {
      const { node, place } = nodeAndPlace(fence);
      if (place === undefined) throw new Error(`line ${line}: ${word} needs a place: pod, other-pod or host`);
      if (word === "open") step.checks.push({ kind: word, node, place, openings: parseLines(fence, parseOpen) });
      else step.checks.push({ kind: word, node, place, attempts: parseLines(fence, parseBind) });
      return;
    }
    case "use":
      if (argument !== "") throw new Error(`line ${line}: use has no argument`);
      step.checks.push({ kind: word, uses: parseLines(fence, parseUse) });
      return;
    case "log":
      step.checks.push({ kind: word, node: argument === "" ? undefined : nodeName(fence), texts: lines });
      return;
    case "pause": {
      expectNoLines(fence);
      const ms = /^\d+ ms$/.test(argument) ? Number.parseInt(argument, 10) : Number.NaN;
      if (!(ms <= pauseMsMax))
        throw new Error(`line ${line}: pause needs a time such as 1500 ms, at most ${pauseMsMax}`);
      step.checks.push({ kind: word, ms });
      return;
    }
    default:
      throw new Error(`line ${line}: no such block: "${word}"`);
  }
}

function parseAgents({ argument, lines, line }: Fence): readonly string[] {
  const wrong = lines.find((text) => text !== detectAddresses && !/^--[a-z-]+=\S+$/.test(text));
  if (argument !== "" || wrong !== undefined) throw new Error(`line ${line}: agents has lines such as --name=value`);
  return lines;
}

function parseLines<T>({ lines, line }: Fence, parse: (text: string) => T): readonly T[] {
  return lines.map((text, i) => {
    try {
      return parse(text);
    } catch (error) {
      throw new Error(`line ${line + 1 + i}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  });
}

function nodeName({ word, argument, line }: Fence): string {
  if (!/^node-\d+$/.test(argument)) throw new Error(`line ${line}: ${word} needs a node`);
  return argument;
}

function nodeAndPlace({ word, argument, line }: Fence): { readonly node: string; readonly place: Place | undefined } {
  const match = /^(node-\d+)(?: (pod|other-pod|host))?$/.exec(argument);
  if (match === null) throw new Error(`line ${line}: ${word} needs a node, and maybe a place: pod, other-pod or host`);
  return { node: match[1] ?? "", place: match[2] as Place | undefined };
}

function fileName({ word, argument, line }: Fence): string {
  if (!/^[a-z0-9-]+\.yaml$/.test(argument)) throw new Error(`line ${line}: ${word} needs a file name`);
  return argument;
}

function expectNoLines({ word, lines, line }: Fence): void {
  if (lines.length > 0) throw new Error(`line ${line}: ${word} has no lines`);
}
