/** The flags that change what a node holds; of the agent, and of commands that plan in its place. */
import { choice, listOf } from "@weft/proto/program/flags.ts";
import { parseNodePortSelector } from "./node-port-addresses.ts";

export const planFlags = {
  nodeportAddresses: listOf({
    value: "CIDR|primary|loopback",
    isCommaSeparated: true,
    help:
      "Where NodePorts are served: addresses of the node in these ranges (a family without a range: all), its primary ones, " +
      "127.0.0.1 as well. Default: all addresses of the node.",
    parse: parseNodePortSelector,
  }),
  localClusterIps: choice({
    choices: ["pass", "serve"],
    help:
      "What becomes of connections from this node to a ClusterIP that one of its devices has, or whose Service has the " +
      "annotation weft.dev/node-local: pass. pass: they go there as they are. Default: pass.",
  }),
} as const;
