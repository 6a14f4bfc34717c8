/** What a test reads from and writes to a kubeconfig: one cluster, one user with a bearer token. */
import fs from "node:fs";
import { parse, stringify } from "yaml";

export interface ApiAccess {
  /** `https://HOST:PORT` */
  readonly url: string;
  /** PEM file that the server's certificate must come from. */
  readonly caFile: string;
  readonly credential: ApiCredential;
}

/** A token file is read again by clients while they run; a token is not. */
export type ApiCredential =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "token-file"; readonly file: string };

interface KubeconfigFile {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly "certificate-authority": string };
  }[];
  readonly users: readonly { readonly user: { readonly token: string } }[];
}

/** Of a kubeconfig with one cluster and one user. */
export function readKubeconfig(file: string): ApiAccess {
  const { clusters, users } = parse(fs.readFileSync(file, "utf8")) as KubeconfigFile;
  const [cluster, user] = [clusters[0]?.cluster, users[0]?.user];
  if (cluster === undefined || user === undefined) throw new Error(`${file}: no cluster or no user`);
  const credential = { kind: "token", token: user.token } as const;
  return { url: cluster.server, caFile: cluster["certificate-authority"], credential };
}

export function writeKubeconfig(file: string, { url, caFile, credential }: ApiAccess): void {
  const user = credential.kind === "token" ? { token: credential.token } : { tokenFile: credential.file };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server: url, "certificate-authority": caFile } }],
    users: [{ name: "test", user }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  };
  fs.writeFileSync(file, stringify(config), { mode: 0o600 });
}
