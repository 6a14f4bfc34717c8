/** The command line of `weft-controlplane`. */
import { parseCidr } from "@weft/proto/program/address-values.ts";
import { defineCommand } from "@weft/proto/program/command.ts";
import { duration, integer, listOf, percent, single } from "@weft/proto/program/flags.ts";
import { logFlags } from "@weft/proto/program/log.ts";
import { parseListenAddress } from "@weft/proto/program/socket-address.ts";
import { checkServerTls, serverTlsAlternative, serverTlsFlags } from "@weft/proto/program/tls-flags.ts";
import { fanoutLimits } from "./fanout/fanout-limits.ts";
import { catalogLimits, tombstoneBytes } from "./catalog/catalog-limits.ts";
import { massRemovalLimits } from "./mass-removal/mass-removal.ts";
import { chooseSource, sourceAlternative, sourceFlags } from "./source-flags.ts";
import { workersMax } from "./workers/workers-max.ts";
import { traceFlags } from "./trace/trace-flags.ts";

export const controlPlaneCommand = defineCommand({
  name: "weft-controlplane",
  summary: "Watches Services and streams what every node needs to the agents.",
  details: [
    "Prints one line on stdout once both addresses are bound:",
    "  ready grpc=HOST:PORT http=HOST:PORT",
    "Logs go to stderr. HTTP serves /livez, /readyz (ready: the source is synced), /metrics and",
    "/v1/wait?drained=IP:PORT&timeout=30s for preStop hooks.",
  ].join("\n"),
  flags: {
    ...sourceFlags,
    listen: single({
      value: "HOST:PORT",
      required: true,
      parse: parseListenAddress,
      help: "Address for agents and for the weft command (gRPC). Port 0: any free one.",
    }),
    http: single({
      value: "HOST:PORT",
      required: true,
      parse: parseListenAddress,
      help: "Address for probes, metrics and preStop hooks (HTTP without TLS). Port 0: any free one.",
    }),
    ...serverTlsFlags,
    serviceCidr: listOf({
      value: "CIDR",
      isCommaSeparated: true,
      parse: parseCidr,
      help: "Range of ClusterIPs, beside those of ServiceCIDR objects.",
    }),
    massRemovalThreshold: percent({
      default: massRemovalLimits.thresholdPercent,
      help: "Share of the services whose removal at once is held back (10 at least); 0: none is.",
    }),
    massRemovalHold: duration({
      default: massRemovalLimits.holdMs,
      minMs: 1,
      help: "How long a removal is held back unless `weft confirm-removal` confirms it.",
    }),
    historyRevisions: integer({
      value: "N",
      default: catalogLimits.historyRevisionsMax,
      min: 1,
      max: 1_000_000_000,
      help: "Revisions that an agent may be behind and still be sent just the changes; beyond it digests are compared.",
    }),
    historyBytes: integer({
      value: "BYTES",
      default: catalogLimits.historyBytesMax,
      min: tombstoneBytes,
      max: 1_099_511_627_776,
      help: "Memory for removals that are remembered for it, about 200 bytes each.",
    }),
    workers: integer({
      value: "N",
      default: 1,
      min: 1,
      max: workersMax,
      help: "Threads that serve agents on one port. 1: the main thread does.",
    }),
    drain: duration({
      default: fanoutLimits.drainMs,
      minMs: 1,
      help: "How long agents may take to leave at shutdown. They are told when to come back, 1,000 a second.",
    }),
    ...traceFlags,
    ...logFlags,
  },
  examples: [
    "weft-controlplane --manifests ./manifests --listen 127.0.0.1:7000 --http 127.0.0.1:7001 --insecure",
    "weft-controlplane --manifests /etc/weft --listen 0.0.0.0:7000 --http 0.0.0.0:7001 \\",
    "    --tls-cert server.crt --tls-key server.key --tls-client-ca ca.crt --service-cidr 10.96.0.0/12",
    "weft-controlplane --in-cluster --listen 0.0.0.0:7000 --http 0.0.0.0:7001 \\",
    "    --tls-cert server.crt --tls-key server.key --tls-client-ca ca.crt",
  ],
  alternatives: [sourceAlternative, serverTlsAlternative],
  check: (values) => {
    const source = chooseSource(values);
    return typeof source === "string" ? source : checkServerTls(values);
  },
});
