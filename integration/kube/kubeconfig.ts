/** What a test reads from and writes to a kubeconfig: one cluster, one user. Those that are read have a bearer token. */
import fs from "node:fs";
import { parse, stringify } from "yaml";

export interface ApiAccess {
  /** `https://HOST:PORT` */
  readonly url: string;
  /** PEM file that the server's certificate must come from. */
  readonly caFile: string;
  readonly credential: ApiCredential;
}

/** Files are read again by clients while they run, and plug-ins asked again; a token stays. */
export type ApiCredential =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "token-file"; readonly file: string }
  /** Files in PEM. */
  | { readonly kind: "certificate"; readonly certFile: string; readonly keyFile: string }
  /** A program that prints an ExecCredential. */
  | { readonly kind: "plug-in"; readonly command: string };

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
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server: url, "certificate-authority": caFile } }],
    users: [{ name: "test", user: userOf(credential) }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  };
  fs.writeFileSync(file, stringify(config), { mode: 0o600 });
}

function userOf(credential: ApiCredential): unknown {
  switch (credential.kind) {
    case "token":
      return { token: credential.token };
    case "token-file":
      return { tokenFile: credential.file };
    case "certificate":
      return { "client-certificate": credential.certFile, "client-key": credential.keyFile };
    case "plug-in": {
      const apiVersion = "client.authentication.k8s.io/v1";
      return { exec: { apiVersion, command: credential.command, interactiveMode: "Never" } };
    }
  }
}
