/** The command lines of weft-agent. */
import { parseAddress } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import { defineCommand, defineProgram } from "@weft/proto/program/command.ts";
import { choice, duration, integer, listOf, percent, single, text } from "@weft/proto/program/flags.ts";
import type { Parsed } from "@weft/proto/program/flags.ts";
import { logFlags } from "@weft/proto/program/log.ts";
import { parseDialAddress, parseListenAddress, printHostPort } from "@weft/proto/program/socket-address.ts";
import { checkClientTls, clientTlsAlternative, clientTlsFlags } from "@weft/proto/program/tls-flags.ts";
import { tracingFlags } from "@weft/proto/telemetry/tracing-flags.ts";
import { planFlags } from "./plan/plan-flags.ts";
import { defaultSyncLimits } from "./sync/sync-state.ts";

export const defaultBpffs = "/sys/fs/bpf/weft";
const limitMax = 4_194_304;

const bpffs = text({
  value: "DIR",
  default: defaultBpffs,
  help: "Folder on a bpf file system for this agent's pins; one agent each.",
});
const cgroup = text({
  value: "DIR",
  help: "cgroup v2 folder whose sockets are served. Default: the root of cgroup v2.",
});

const run = defineCommand({
  name: "weft-agent run",
  summary: "Serves the node's services, and follows a control plane.",
  details: [
    "Prints one line on stdout once the node serves: ready node=NAME [http=HOST:PORT] [healthz=HOST:PORT] [metrics=HOST:PORT].",
    "Health check node ports of services are always served: on all addresses of the node, or those of --nodeport-addresses.",
    "What is live stays live when the agent ends; `weft-agent cleanup` removes it.",
  ].join("\n"),
  flags: {
    node: text({ value: "NAME", required: true, help: "Name of this node, as in the Node object." }),
    controlplane: single({
      value: "HOST:PORT",
      required: true,
      help: "Control plane to follow. Give a node address: the agent must not need the service network it programs.",
      parse: parseDialAddress,
      print: printHostPort,
    }),
    dataplane: choice({
      choices: ["kernel", "memory"],
      required: true,
      help: "kernel: eBPF. memory: nothing is served; for hosts without BPF and for tests.",
    }),
    state: text({ value: "DIR", required: true, help: "Folder for the last good state and this agent's identity." }),
    bpffs,
    cgroup,
    nodeAddresses: listOf({
      value: "IP",
      isCommaSeparated: true,
      help: "Addresses of the node, the primary one of each family first. Default: those of the interfaces.",
      parse: parseNodeAddress,
    }),
    ...planFlags,
    http: single({
      value: "HOST:PORT",
      help: "Listen for /livez, /readyz, /metrics and /v1/dump.",
      parse: parseListenAddress,
      print: printHostPort,
    }),
    healthz: single({
      value: "HOST:PORT",
      help: "Listen for /healthz and /livez as kube-proxy does (its default: 0.0.0.0:10256).",
      parse: parseListenAddress,
      print: printHostPort,
    }),
    metrics: single({
      value: "HOST:PORT",
      help: "Listen for /metrics only (kube-proxy's default: 127.0.0.1:10249).",
      parse: parseListenAddress,
      print: printHostPort,
    }),
    frontendsMax: integer({ min: 1, max: limitMax, default: 262_144, help: "Most frontends, each scope counted." }),
    backendsMax: integer({ min: 1, max: limitMax, default: 1_048_576, help: "Most backends over all service ports." }),
    servicesMax: integer({ min: 1, max: limitMax, default: 65_536, help: "Most service ports." }),
    massRemovalThreshold: percent({
      default: defaultSyncLimits.massRemovalPercent,
      help: "Share of the services whose removal waits for confirmation; 0 turns that off.",
    }),
    auditInterval: duration({
      default: 600_000,
      minMs: 0,
      help: "Time within which every entry of the kernel's maps is compared with what was written, and repaired; 0s turns that off.",
    }),
    ...clientTlsFlags,
    ...tracingFlags,
    ...logFlags,
  },
  examples: [
    "weft-agent run --node n1 --controlplane 10.0.0.1:7000 --dataplane kernel --state /var/lib/weft \\",
    "  --tls-ca ca.pem --tls-cert n1.pem --tls-key n1.key --http 127.0.0.1:7002 \\",
    "  --healthz 0.0.0.0:10256 --metrics 127.0.0.1:10249",
    "weft-agent run --node n1 --controlplane 127.0.0.1:7000 --dataplane memory --state /tmp/n1 --insecure",
  ],
  alternatives: [clientTlsAlternative],
  check: (values) => {
    const { node } = values;
    if (!/^[\x21-\x7e]{1,253}$/.test(node)) {
      return "--node: give a name of at most 253 visible ASCII characters";
    }
    return checkClientTls(values);
  },
});

const dump = defineCommand({
  name: "weft-agent dump",
  summary: "Prints what is really live on this node, as the lines of `weft plan`.",
  details: "Without --http it reads the pinned maps; no agent needs to run.",
  flags: {
    bpffs,
    http: single({
      value: "HOST:PORT",
      help: "Ask the running agent that listens there instead (--dataplane memory).",
      parse: parseDialAddress,
      print: printHostPort,
    }),
  },
  alternatives: [[["bpffs"], ["http"]]],
  examples: ["weft-agent dump --bpffs /sys/fs/bpf/weft", "weft-agent dump --http 127.0.0.1:7002"],
});

const cleanup = defineCommand({
  name: "weft-agent cleanup",
  summary: "Removes all that an agent left in the kernel. The node's services stop being served.",
  details:
    "The state folder stays. Refused while an agent runs on the same --bpffs. What was never there is said, and no failure.",
  flags: { bpffs, cgroup },
  examples: ["weft-agent cleanup --bpffs /sys/fs/bpf/weft --cgroup /sys/fs/cgroup"],
});

export const program = defineProgram({
  name: "weft-agent",
  summary: "Weft's agent: puts what a control plane streams into the kernel of this node, and acknowledges it.",
  commands: { run, dump, cleanup },
});

function parseNodeAddress(given: string): Parsed<Address> {
  const address = parseAddress(given);
  return address === undefined ? { ok: false, problem: "give an IP address" } : { ok: true, value: address };
}
