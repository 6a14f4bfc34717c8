/** What an API server holds, as a folder of manifests. */
import fs from "node:fs";
import path from "node:path";
import type { ApiClient } from "./api-client.ts";

const kinds = ["Service", "EndpointSlice", "Node", "ServiceCIDR"];

/** Listed in one answer per kind, without limit, selector or cache: nothing here is shared with the source under test. */
export async function writeManifestsOfApi(api: ApiClient, folder: string): Promise<void> {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  for (const kind of kinds) {
    const items = await api.list(kind);
    fs.writeFileSync(path.join(folder, `${kind}.json`), JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  }
}
