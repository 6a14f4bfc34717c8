/** The real kube-proxy in nftables mode on the stage. */
import fs from "node:fs";
import path from "node:path";
import { LabProcess } from "../../lab/lab-process.ts";
import { monotonicUs } from "./monotonic.ts";
import { usageOf } from "./measured-proxy.ts";
import type { MeasuredProxy } from "./measured-proxy.ts";
import { peerNode } from "./stage.ts";
import type { Stage } from "./stage.ts";

const program = path.resolve(import.meta.dirname, "../../../.weft/kube/kube-proxy");

/** It was started a moment ago when this returns. Its defaults, but for what belongs to the whole machine (conntrack limits). */
export function startKubeProxy({ lab, api }: Stage): MeasuredProxy {
  const node = lab.node(peerNode);
  const flags = [
    "--proxy-mode=nftables",
    `--kubeconfig=${api.kubeconfig}`,
    `--hostname-override=${node.name}`,
    "--conntrack-max-per-core=0",
    "--conntrack-min=0",
    "--conntrack-tcp-timeout-established=0s",
    "--conntrack-tcp-timeout-close-wait=0s",
  ];
  const startedUs = monotonicUs();
  const { place } = node;
  const process = LabProcess.start("kube-proxy", [program, ...flags], {
    ...place,
    logFile: path.join(lab.logs, "kube-proxy.log"),
  });
  return {
    name: "kube-proxy",
    node: peerNode,
    startedUs,
    agent: usageOf(place.cgroup, process.pid),
    controlplane: undefined,
    stop: async () => void (await process.stop()),
  };
}

/** Undefined: it can run. Else what is missing and what to do. */
export function missingForKubeProxy(): string | undefined {
  if (!fs.existsSync(program))
    return "there is no kube-proxy: run 'npm run kube:build -- kube-proxy' (needs Go >= 1.26)";
  const hasNft = (process.env["PATH"] ?? "").split(":").some((folder) => fs.existsSync(path.join(folder, "nft")));
  return hasNft ? undefined : "there is no nft: run 'apt-get install nftables'";
}
