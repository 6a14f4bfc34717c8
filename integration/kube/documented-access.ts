/** What docs/kubernetes.md tells operators to create for the control plane, created as it stands there. */
import fs from "node:fs";
import path from "node:path";
import { parseAllDocuments } from "yaml";
import type { ApiClient, ApiObject } from "./api-client.ts";

const document = path.resolve(import.meta.dirname, "../../docs/kubernetes.md");
const kinds = ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

interface Binding extends ApiObject {
  readonly subjects: readonly { readonly kind: string; readonly namespace: string; readonly name: string }[];
}

/** Objects of the document's YAML blocks that give access; other kinds are left out. */
export function documentedAccess(): readonly ApiObject[] {
  const blocks = fs.readFileSync(document, "utf8").matchAll(/^```yaml\n(.*?)^```$/gms);
  const objects = [...blocks].flatMap(([, text = ""]) =>
    parseAllDocuments(text).map((parsed) => parsed.toJS() as ApiObject | null),
  );
  return objects
    .filter((object): object is ApiObject => object !== null && kinds.includes(object.kind))
    .toSorted((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind));
}

/** Creates them where they are missing. Returns a fresh token of the service account that they give access to. */
export async function grantDocumentedAccess(api: ApiClient): Promise<string> {
  const objects = documentedAccess();
  for (const object of objects) await api.apply(object);
  const binding = objects.find(({ kind }) => kind === "ClusterRoleBinding") as Binding | undefined;
  const account = binding?.subjects.find(({ kind }) => kind === "ServiceAccount");
  if (account === undefined) throw new Error(`${document}: no ClusterRoleBinding to a ServiceAccount`);
  return api.tokenOf(account.namespace, account.name);
}
