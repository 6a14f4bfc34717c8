/** The source that the command line chose. */
import type { Log } from "@weft/proto/program/log.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import { checkManifestsFolder } from "./manifests-folder.ts";
import { refusalReporter } from "./refusal-reporter.ts";
import type { SourceChoice } from "./source-flags.ts";
import { ManifestsSource } from "./source/manifests/manifests-source.ts";
import { printRefusal } from "./source/manifests/refusal.ts";
import type { Source } from "./source/source.ts";

export interface OpenSource {
  readonly source: Source;
  /** As it was chosen: "--manifests ./m". */
  readonly name: string;
  /** Why it is not synced, each on one line; empty: that is not known. */
  readonly missing: () => readonly string[];
}

export interface OpenSourceOptions {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Of this program. */
  readonly version: string;
}

/** @throws ProgramError if it can never work as it is. */
export async function openSource(choice: SourceChoice, options: OpenSourceOptions): Promise<OpenSource> {
  const { log, metrics, version } = options;
  if (choice.kind === "manifests") {
    await checkManifestsFolder(choice.folder);
    const report = refusalReporter(log, metrics);
    const source = new ManifestsSource({
      folder: choice.folder,
      onRefusals: ({ added, cleared }) => report(added.map(printRefusal), cleared.map(printRefusal)),
    });
    return { source, name: `--manifests ${choice.folder}`, missing: () => [] };
  }
  // Only then: the packages behind these cost a second and 85 MB.
  const { KubeConfigAccess } = await import("./source/kubernetes/kube-config-access.ts");
  const { KubernetesSource } = await import("./source/kubernetes/kubernetes-source.ts");
  const access = KubeConfigAccess.open(choice);
  const source = new KubernetesSource({ access, log, metrics, version, onRefusals: refusalReporter(log, metrics) });
  const name = choice.kind === "in-cluster" ? "--in-cluster" : `--kubeconfig ${choice.file}`;
  return { source, name: `${name} (${access.server})`, missing: () => source.missing() };
}
