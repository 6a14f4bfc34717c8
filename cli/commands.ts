/** What the `weft` command understands. Light: nothing here loads what a command needs to run. */
import { parseCursor, revision, type Epoch, type Revision } from "@weft/proto/cursor.ts";
import { planFlags } from "@weft/nodeagent/plan/plan-flags.ts";
import { familyOf, parseSocketAddress, type Address } from "@weft/proto/address.ts";
import { parseCidr, parseIp } from "@weft/proto/program/address-values.ts";
import { defineCommand, defineProgram } from "@weft/proto/program/command.ts";
import {
  amount,
  boolean,
  choice,
  duration,
  integer,
  listOf,
  single,
  text,
  type Parsed,
  type Values,
} from "@weft/proto/program/flags.ts";
import { parseDialAddress } from "@weft/proto/program/socket-address.ts";
import { checkClientTls, clientTlsAlternative, clientTlsFlags } from "@weft/proto/program/tls-flags.ts";
import { parseFlowTarget } from "./flow-line.ts";

/** A revision as it is typed: "42", or a printed cursor. */
export interface AskedRevision {
  /** Undefined: the current epoch. */
  readonly epoch: Epoch | undefined;
  readonly revision: Revision;
}

const controlplaneHelp = { value: "HOST:PORT", help: "Control plane to ask.", parse: parseDialAddress } as const;
const remoteFlags = { controlplane: single({ ...controlplaneHelp, required: true }), ...clientTlsFlags } as const;

const tableOrJson = choice({
  short: "o",
  choices: ["table", "json"],
  default: "table",
  help: "Form of the output; json is one object a line.",
});

const sourceFlags = {
  manifests: text({
    value: "DIR",
    help: "Folder of manifests to plan from; its Node object gives the zone and the addresses.",
  }),
  controlplane: single(controlplaneHelp),
  node: text({ value: "NAME", help: "Node to plan for.", required: true }),
  ...planFlags,
  ...clientTlsFlags,
} as const;

const sourceAlternatives = [[["manifests"], ["controlplane"]], clientTlsAlternative] as const;

const plan = defineCommand({
  name: "weft plan",
  summary: "Print what a node should hold: one JSON line per frontend and scope.",
  details:
    "The lines are those of `weft-agent dump` of a converged node, for what its dataplane serves.\n" +
    "Exit codes: 0; 2 if something was refused (named on stderr, the rest is answered); 1 if nothing can be answered.",
  flags: sourceFlags,
  examples: [
    "weft plan --manifests ./manifests --node node-1",
    "weft plan --controlplane 10.0.0.1:7000 --tls-ca ca.pem --tls-cert me.pem --tls-key me.key --node node-1",
  ],
  alternatives: sourceAlternatives,
  check: checkSource,
});

const explainFlags = {
  ...sourceFlags,
  clusterCidr: listOf({
    value: "CIDR",
    isCommaSeparated: true,
    parse: parseCidr,
    help: "Range of pod addresses. Without one of a family no pod of that family is told from outside.",
  }),
  serviceCidr: listOf({
    value: "CIDR",
    isCommaSeparated: true,
    parse: parseCidr,
    help: "Range of ClusterIPs, beside those of ServiceCIDR objects: what no service has there is dropped.",
  }),
  from: single({ value: "IP", help: "Source of the connection.", parse: parseIp }),
  to: single({ value: "IP:PORT[/PROTO]", help: "Destination; TCP, UDP or SCTP, default TCP.", parse: parseFlowTarget }),
  flows: text({
    value: "FILE",
    help: 'File of connections, "-" for stdin: one JSON object a line with "from", "to" and "protocol" (TCP if absent).',
  }),
  output: choice({ short: "o", choices: ["text", "json"], default: "text", help: "Form of a single answer." }),
} as const;

const explain = defineCommand({
  name: "weft explain",
  summary: "Tell where a connection would go, as a node sees it, and why.",
  details:
    "With --flows, and with -o json, one JSON object a line, in order. A line of --flows that is no\n" +
    'connection is answered by {"error":"..."} in its place.\n' +
    "Exit codes: 0; 2 if something was refused (the rest is answered); 1 if nothing can be answered.",
  flags: explainFlags,
  examples: [
    "weft explain --manifests ./manifests --node node-1 --from 10.0.0.2 --to 172.30.0.41:80",
    "weft explain --controlplane 10.0.0.1:7000 --insecure --node node-1 --cluster-cidr 10.0.0.0/16 --flows flows.ndjson",
  ],
  alternatives: [...sourceAlternatives, [["from", "to"], ["flows"]]],
  check: (values) => {
    const { from, to, flows } = values;
    const isSingle = from !== undefined || to !== undefined;
    if (isSingle === (flows !== undefined))
      return "what to explain: give either --from IP and --to IP:PORT, or --flows FILE";
    if (isSingle && (from === undefined || to === undefined)) return "--from and --to belong together: give both";
    if (from !== undefined && to !== undefined && familyOf(from) !== familyOf(to.address))
      return `--from ${from} and --to ${to.address} are of different address families: give two of one family`;
    return checkSource(values);
  },
});

const statusFlags = {
  ...remoteFlags,
  output: tableOrJson,
  watch: boolean({ help: "Go on: the state again whenever it changes." }),
  laggards: boolean({
    help: "Counts, and the nodes that do not run the newest revision whole, with reasons; not all nodes.",
  }),
} as const;

const status = defineCommand({
  name: "weft status",
  summary: "Show which node runs which revision, and what each could not do.",
  details: "The laggards are those furthest behind first, 100 at most.",
  flags: statusFlags,
  examples: [
    "weft status --controlplane 10.0.0.1:7000 --insecure",
    "weft status -o json --watch --controlplane 10.0.0.1:7000 --insecure",
  ],
  alternatives: [clientTlsAlternative],
  check: (values) =>
    values.watch && values.laggards ? "--watch and --laggards exclude each other" : checkClientTls(values),
});

const waitFlags = {
  ...remoteFlags,
  revision: single({
    value: "[EPOCH.]N",
    help: "Wait until this revision is live; one that does not exist yet is waited for.",
    parse: parseRevision,
  }),
  drained: listOf({
    value: "IP:PORT",
    help: "Wait until no service can choose these backends.",
    parse: parseBackend,
    isVariadic: true,
    isCommaSeparated: true,
  }),
  quorum: amount({
    help: "How many nodes are enough; a share is rounded up.",
    minCount: 1,
    minPercent: 1,
    default: { kind: "percent", percent: 100 },
  }),
  timeout: duration({ help: "Longest wait.", minMs: 1, default: 30_000 }),
  output: choice({ short: "o", choices: ["text", "json"], default: "text", help: "Form of the result." }),
} as const;

const wait = defineCommand({
  name: "weft wait",
  summary: "Wait until nodes run a revision, or until none of them can choose a backend any more.",
  details: "Notes come on stderr at once. Exit codes: 0 done, 1 failed (also an ended epoch), 2 refused, 3 timed out.",
  flags: waitFlags,
  examples: [
    "weft wait --revision 42 --timeout 10s --controlplane 10.0.0.1:7000 --insecure",
    "weft wait --drained 10.1.2.3:8080 --quorum 90% -o json --controlplane 10.0.0.1:7000 --insecure",
  ],
  alternatives: [[["revision"], ["drained"]], clientTlsAlternative],
  check: (values) => {
    const isByRevision = values.revision !== undefined;
    if (isByRevision === values.drained.length > 0)
      return "what to wait for: give either --revision [EPOCH.]N or --drained IP:PORT";
    return checkClientTls(values);
  },
});

const getFlags = { ...remoteFlags, output: tableOrJson } as const;

const getServices = defineCommand({
  name: "weft get services",
  summary: "List the services that nodes are given.",
  flags: getFlags,
  examples: ["weft get services --controlplane 10.0.0.1:7000 --insecure"],
  alternatives: [clientTlsAlternative],
  check: (values) => checkClientTls(values),
});

const getBackends = defineCommand({
  name: "weft get backends",
  summary: "List the backends that nodes are given.",
  flags: getFlags,
  examples: ["weft get backends -o json --controlplane 10.0.0.1:7000 --insecure"],
  alternatives: [clientTlsAlternative],
  check: (values) => checkClientTls(values),
});

const revisionsFlags = {
  ...remoteFlags,
  past: integer({ min: 0, max: 64, default: 10, help: "How many past revisions to show." }),
  watch: boolean({ help: "Go on: commits, acks and convergence as they happen." }),
  output: tableOrJson,
} as const;

const revisions = defineCommand({
  name: "weft revisions",
  summary: "Show recent revisions: operations, bytes, and how soon nodes ran them.",
  flags: revisionsFlags,
  examples: ["weft revisions --watch --controlplane 10.0.0.1:7000 --insecure"],
  alternatives: [clientTlsAlternative],
  check: (values) => checkClientTls(values),
});

const traceFlags = {
  ...remoteFlags,
  revision: single({
    value: "[EPOCH.]N",
    help: "Revision to show; also as the bare word behind the command. Default: the newest.",
    parse: parseRevision,
  }),
  slowest: integer({ min: 1, max: 10_000, default: 10, help: "How many of the slowest nodes to show." }),
  node: listOf({
    value: "NAME",
    isCommaSeparated: true,
    help: "Node to show beside them.",
    parse: (name) => (name === "" ? { ok: false, problem: "give a name" } : { ok: true, value: name }),
  }),
  output: tableOrJson,
} as const;

const trace = defineCommand({
  name: "weft trace",
  summary: "Show how a revision went: noticed, compiled, committed, sent, and when each node acked it.",
  details:
    "From acks alone; no tracing system is needed. Recent revisions are remembered. In a bar, - is on the way (both\n" +
    "directions, and waiting), # is on the node from received to active.\n" +
    "Exit codes: 0; 1 if the revision is not remembered or its epoch ended.",
  flags: traceFlags,
  operand: "revision",
  examples: [
    "weft trace 42 --controlplane 10.0.0.1:7000 --insecure",
    "weft trace --slowest 3 --node node-7 -o json --controlplane 10.0.0.1:7000 --insecure",
  ],
  alternatives: [clientTlsAlternative],
  check: (values) => checkClientTls(values),
});

const confirmRemovalFlags = {
  ...remoteFlags,
  output: choice({ short: "o", choices: ["text", "json"], default: "text", help: "Form of the result." }),
} as const;

const confirmRemoval = defineCommand({
  name: "weft confirm-removal",
  summary: "Confirm the mass removal that is held back: the services are really meant to be gone.",
  details:
    "Confirms what `weft status` says is held at this moment, of the source and for nodes, and what the rest of the same loss adds.\n" +
    "Exit codes: 0, also if nothing is held; 1 if the control plane cannot be asked.",
  flags: confirmRemovalFlags,
  examples: ["weft confirm-removal --controlplane 10.0.0.1:7000 --insecure"],
  alternatives: [clientTlsAlternative],
  check: (values) => checkClientTls(values),
});

export const weft = defineProgram({
  name: "weft",
  summary: "Plan, watch and wait: what every node holds of the services of a cluster, and since when.",
  commands: {
    plan,
    explain,
    status,
    wait,
    "get services": getServices,
    "get backends": getBackends,
    revisions,
    trace,
    "confirm-removal": confirmRemoval,
  },
});

export type PlanValues = Values<typeof sourceFlags>;
export type ExplainValues = Values<typeof explainFlags>;
export type StatusValues = Values<typeof statusFlags>;
export type WaitValues = Values<typeof waitFlags>;
export type GetValues = Values<typeof getFlags>;
export type TraceValues = Values<typeof traceFlags>;
export type ConfirmRemovalValues = Values<typeof confirmRemovalFlags>;
export type RevisionsValues = Values<typeof revisionsFlags>;

function checkSource(values: PlanValues): string | undefined {
  const sources = [values.manifests, values.controlplane].filter((source) => source !== undefined);
  if (sources.length === 0) return "nothing to plan from: give --manifests DIR or --controlplane HOST:PORT";
  if (sources.length === 2) return "--manifests excludes --controlplane: give one of them";
  return values.controlplane === undefined ? undefined : checkClientTls(values);
}

function parseRevision(given: string): Parsed<AskedRevision> {
  const cursor = parseCursor(given);
  if (cursor !== undefined && cursor.revision > 0) return { ok: true, value: cursor };
  const number = /^\d{1,16}$/.test(given) ? Number(given) : 0;
  if (number >= 1 && Number.isSafeInteger(number))
    return { ok: true, value: { epoch: undefined, revision: revision(number) } };
  return { ok: false, problem: "give a revision such as 42, or with its epoch 1763881972000-9f3a12bc.42" };
}

function parseBackend(given: string): Parsed<{ readonly address: Address; readonly port: number }> {
  const parsed = parseSocketAddress(given);
  if (parsed !== undefined) return { ok: true, value: parsed };
  return { ok: false, problem: "give IP:PORT such as 10.1.2.3:8080 or [fd00::1]:8080" };
}
