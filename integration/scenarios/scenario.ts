/**
 * The text form of a scenario: Markdown whose fenced blocks are read strictly, and whose prose is for people.
 *
 * ````
 * # What the scenario is about
 * ## A step: given, or when
 * ```yaml web.yaml          the file becomes this
 * ```remove web.yaml        the file goes (no lines)
 * ```frontends node-1       all that the node serves on ClusterIPs: ADDRESS:PORT/PROTOCOL SERVICE ACTION POD:PORT…
 * ```connect node-1         from a pod there: TRANSPORT ADDRESS:PORT -> POD:PORT… or an error code
 * ```log                    texts that the control plane has said
 * ````
 *
 * Edits of a step are made together, before its checks. Pods are a1, a2 on node-1 (10.244.1.11, .12) and b1, b2 on node-2
 * (10.244.2.11, .12), and fd00:244:1::11 and so on; each listens on 53, 8080, 8081, 9090. node-1 is in zone-a, node-2 in zone-b.
 */
import { parseSocketAddress } from "@weft/proto/address.ts";
import type { Transport } from "../lab/client-messages.ts";

export interface Scenario {
  readonly title: string;
  readonly steps: readonly ScenarioStep[];
}

export interface ScenarioStep {
  readonly title: string;
  /** Text undefined: the file goes. */
  readonly edits: readonly { readonly file: string; readonly text: string | undefined }[];
  readonly checks: readonly Check[];
}

export type Check =
  | { readonly kind: "frontends"; readonly node: string; readonly lines: readonly string[] }
  | { readonly kind: "connect"; readonly node: string; readonly connections: readonly Connection[] }
  | { readonly kind: "log"; readonly texts: readonly string[] };

export interface Connection {
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
  /** Sorted: "pod:port", or one error code. */
  readonly outcomes: readonly string[];
}

interface Fence {
  readonly word: string;
  readonly argument: string;
  readonly lines: readonly string[];
  /** Line number of its start, from 1. */
  readonly line: number;
}

/** @throws Error naming the line, for anything that is not exactly this form. */
export function parseScenario(text: string): Scenario {
  let title = "";
  const steps: { title: string; edits: { file: string; text: string | undefined }[]; checks: Check[] }[] = [];
  let fence: { word: string; argument: string; lines: string[]; line: number } | undefined;
  for (const [i, line] of text.split("\n").entries()) {
    const opening = /^```(\S*) ?(.*)$/.exec(line);
    if (fence !== undefined) {
      if (line !== "```") fence.lines.push(line);
      else {
        addFence(steps.at(-1), fence);
        fence = undefined;
      }
    } else if (opening !== null) {
      fence = { word: opening[1] ?? "", argument: opening[2] ?? "", lines: [], line: i + 1 };
    } else if (line.startsWith("# ")) title = line.slice(2);
    else if (line.startsWith("## ")) steps.push({ title: line.slice(3), edits: [], checks: [] });
  }
  if (fence !== undefined) throw new Error(`line ${fence.line}: the block is not closed`);
  if (title === "" || steps.length === 0) throw new Error("a scenario has a title (#) and steps (##)");
  const idle = steps.find((step) => step.checks.length === 0);
  if (idle !== undefined) throw new Error(`step "${idle.title}" checks nothing`);
  return { title, steps };
}

function addFence(
  step: { edits: { file: string; text: string | undefined }[]; checks: Check[] } | undefined,
  { word, argument, lines, line }: Fence,
): void {
  if (step === undefined) throw new Error(`line ${line}: a block before the first step (##)`);
  const isNode = /^node-\d+$/.test(argument);
  switch (word) {
    case "yaml":
    case "remove": {
      if (!/^[a-z0-9-]+\.yaml$/.test(argument)) throw new Error(`line ${line}: ${word} needs a file name`);
      step.edits.push({ file: argument, text: word === "yaml" ? `${lines.join("\n")}\n` : undefined });
      return;
    }
    case "frontends":
      if (!isNode) throw new Error(`line ${line}: frontends needs a node`);
      step.checks.push({ kind: "frontends", node: argument, lines: lines.filter((text) => text !== "").toSorted() });
      return;
    case "connect":
      if (!isNode) throw new Error(`line ${line}: connect needs a node`);
      step.checks.push({
        kind: "connect",
        node: argument,
        connections: lines.map((text, i) => parseConnection(text, line + 1 + i)),
      });
      return;
    case "log":
      step.checks.push({ kind: "log", texts: lines });
      return;
    default:
      throw new Error(`line ${line}: no such block: "${word}"`);
  }
}

function parseConnection(text: string, line: number): Connection {
  const match = /^(tcp|udp|udp-connected) (\S+) -> (\S.*)$/.exec(text);
  // Not the canonical text: ::ffff:10.96.0.10 is to be asked from an IPv6 socket.
  const host = /^(?:\[(.+)\]|([^:]+)):\d+$/.exec(match?.[2] ?? "");
  const target = parseSocketAddress(match?.[2] ?? "");
  if (match === null || host === null || target === undefined) {
    throw new Error(`line ${line}: not "TRANSPORT ADDRESS:PORT -> OUTCOMES": ${text}`);
  }
  return {
    transport: match[1] as Transport,
    address: host[1] ?? host[2] ?? "",
    port: target.port,
    outcomes: (match[3] ?? "").split(" ").toSorted(),
  };
}
