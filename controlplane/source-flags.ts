/** Where Services come from, as flags: exactly one source. */
import type { Alternative } from "@weft/proto/program/command.ts";
import { boolean, text } from "@weft/proto/program/flags.ts";

export const sourceFlags = {
  manifests: text({ value: "DIR", help: "Folder of manifests (YAML, JSON) to serve. Watched." }),
  kubeconfig: text({ value: "FILE", help: "Kubeconfig of the cluster to serve." }),
  context: text({ value: "NAME", help: "Context of --kubeconfig, if not its current one." }),
  inCluster: boolean({ help: "Serve the cluster whose pod this is, by its service account." }),
} as const;

export const sourceAlternative: Alternative = [["manifests"], ["kubeconfig", "context"], ["inCluster"]];

export interface SourceValues {
  readonly manifests: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly inCluster: boolean;
}

export type SourceChoice =
  | { readonly kind: "manifests"; readonly folder: string }
  | { readonly kind: "kubeconfig"; readonly file: string; readonly context: string | undefined }
  | { readonly kind: "in-cluster" };

/** A text: what is wrong, and what to do. */
export function chooseSource({ manifests, kubeconfig, context, inCluster }: SourceValues): SourceChoice | string {
  const given = [
    ...(manifests === undefined ? [] : ["--manifests"]),
    ...(kubeconfig === undefined ? [] : ["--kubeconfig"]),
    ...(inCluster ? ["--in-cluster"] : []),
  ];
  if (given.length > 1) return `${given.join(" and ")} exclude each other: give one`;
  if (context !== undefined && kubeconfig === undefined)
    return "--context is that of a kubeconfig: give --kubeconfig FILE too";
  if (manifests !== undefined) return { kind: "manifests", folder: manifests };
  if (kubeconfig !== undefined) return { kind: "kubeconfig", file: kubeconfig, context };
  if (inCluster) return { kind: "in-cluster" };
  return "what to serve is missing: give --manifests DIR, --kubeconfig FILE or --in-cluster";
}
