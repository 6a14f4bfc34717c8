/** Credentials from a kubeconfig file or from the pod this program runs in, by client-node's KubeConfig, which is used for nothing else. */
import { readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { dirname, resolve } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { fromErrno } from "@weft/proto/program/errno.ts";
import { messageOf, ProgramError } from "@weft/proto/program/errors.ts";
import { parse as parseYaml } from "yaml";
import { isJsonObject } from "../fields.ts";
import type { Access, ApiAccess } from "./access.ts";

/** Contexts named in an error. */
const contextsShownMax = 10;

export type AccessFrom =
  | { readonly kind: "kubeconfig"; readonly file: string; readonly context: string | undefined }
  | { readonly kind: "in-cluster" };

export class KubeConfigAccess implements Access {
  readonly #from: AccessFrom;
  // Undefined: to be read again.
  #config: KubeConfig | undefined;
  #server: string;

  private constructor(from: AccessFrom, config: KubeConfig, server: string) {
    this.#from = from;
    this.#config = config;
    this.#server = server;
  }

  /** @throws ProgramError if it can never work as it is. */
  static open(from: AccessFrom): KubeConfigAccess {
    const config = load(from);
    return new KubeConfigAccess(from, config, serverOf(from, config));
  }

  get server(): string {
    return this.#server;
  }

  async current(): Promise<ApiAccess> {
    const config = (this.#config ??= load(this.#from));
    this.#server = serverOf(this.#from, config);
    const cluster = config.getCurrentCluster();
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    // client-node leaves a cluster's CA out where there is no user.
    const ca = options.ca ?? readPem(cluster?.caFile, cluster?.caData);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      // A token from a file may end with a newline.
      if (typeof value === "string") headers[name.toLowerCase()] = value.trim();
    }
    if (typeof options.auth === "string")
      headers["authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
    return {
      server: this.#server,
      headers,
      tls: {
        ca: pemOf(ca),
        cert: pemOf(options.cert),
        key: pemOf(options.key),
        servername: cluster?.tlsServerName,
        rejectUnauthorized: cluster?.skipTLSVerify !== true,
      },
      proxy: cluster?.proxyUrl,
    };
  }

  renew(): void {
    this.#config = undefined;
  }
}

function load(from: AccessFrom): KubeConfig {
  return from.kind === "in-cluster" ? loadInCluster() : loadFile(from.file, from.context);
}

function loadInCluster(): KubeConfig {
  const config = new KubeConfig();
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  const remedy = "run in a pod with a service account, or give --kubeconfig FILE";
  if (host === undefined || port === undefined) {
    throw new ProgramError(
      "not-found",
      "--in-cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set",
      {
        remedy,
      },
    );
  }
  config.loadFromCluster();
  const tokenFile = String(config.getCurrentUser()?.authProvider?.config?.["tokenFile"] ?? "");
  for (const file of [tokenFile, config.getCurrentCluster()?.caFile ?? ""]) {
    try {
      readFileSync(file);
    } catch (error) {
      throw new ProgramError("not-found", `--in-cluster: ${file} cannot be read: ${messageOf(error)}`, {
        remedy,
        cause: error,
      });
    }
  }
  return config;
}

function loadFile(file: string, context: string | undefined): KubeConfig {
  const config = new KubeConfig();
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw fromErrno(error, `read --kubeconfig ${file}`);
  }
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(dirname(resolve(file)));
    addTokenFiles(config, text, dirname(resolve(file)));
  } catch (error) {
    throw new ProgramError("invalid-file", `--kubeconfig ${file} is not a kubeconfig: ${messageOf(error)}`, {
      remedy: "check it with kubectl config view",
      cause: error,
    });
  }
  if (context !== undefined) config.setCurrentContext(context);
  checkContext(config, file, context);
  for (const user of config.getUsers()) tellPlugIn(user.exec as PlugIn | null | undefined);
  return config;
}

function checkContext(config: KubeConfig, file: string, context: string | undefined): void {
  const wrong = (message: string, remedy: string): ProgramError =>
    new ProgramError("invalid-file", `--kubeconfig ${file}: ${message}`, { remedy });
  const names = config.getContexts().map(({ name }) => name);
  const shown = names.slice(0, contextsShownMax).join(", ") + (names.length > contextsShownMax ? ", …" : "");
  const name = config.getCurrentContext() as string | undefined;
  const choose = names.length === 0 ? "add a context to it" : `give --context with one of ${shown}`;
  if (name === undefined || name === "") throw wrong("it has no current context", choose);
  const found = config.getContextObject(name);
  if (found === null) throw wrong(`it has no context ${JSON.stringify(name)}`, choose);
  const of = context === undefined ? `the current context ${name}` : `the context ${name}`;
  if (config.getCluster(found.cluster) === null)
    throw wrong(
      `it has no cluster ${JSON.stringify(found.cluster)}, which ${of} names`,
      "add it or choose another context",
    );
  if (found.user !== undefined && config.getUser(found.user) === null)
    throw wrong(`it has no user ${JSON.stringify(found.user)}, which ${of} names`, "add it or choose another context");
  const server = config.getCluster(found.cluster)?.server ?? "";
  if (!/^https?:$/.test(URL.parse(server)?.protocol ?? ""))
    throw wrong(`the server ${JSON.stringify(server)} of ${of} is no http or https URL`, "correct it");
  // Plain HTTP has no certificate to verify, but client-node wants to be told.
  for (const cluster of config.getClusters() as { server: string; skipTLSVerify: boolean; proxyUrl?: string }[]) {
    if (cluster.server.startsWith("http:")) cluster.skipTLSVerify = true;
    if (cluster.server === server && cluster.proxyUrl !== undefined && !/^https?:/.test(cluster.proxyUrl))
      throw wrong(`the proxy-url ${cluster.proxyUrl} is not that of an HTTP proxy`, "use an HTTP proxy");
  }
}

// client-node knows `token-file`; kubeconfigs say `tokenFile`. It is read again every minute, as tokens rotate.
function addTokenFiles(config: KubeConfig, text: string, folder: string): void {
  const parsed: unknown = parseYaml(text);
  const users = isJsonObject(parsed) && Array.isArray(parsed["users"]) ? parsed["users"] : [];
  for (const entry of users as readonly unknown[]) {
    if (!isJsonObject(entry) || !isJsonObject(entry["user"])) continue;
    const { tokenFile } = entry["user"];
    const user = config.getUser(String(entry["name"])) as { authProvider?: unknown; token?: string } | null;
    if (typeof tokenFile !== "string" || user === null) continue;
    user.authProvider = { name: "tokenFile", config: { tokenFile: resolve(folder, tokenFile) } };
    delete user.token;
  }
}

interface PlugIn {
  readonly apiVersion?: string;
  env?: { readonly name: string; readonly value: string }[] | null;
}

// As client-go does; some plug-ins refuse to run without.
function tellPlugIn(exec: PlugIn | null | undefined): void {
  if (exec === null || exec === undefined) return;
  const apiVersion = exec.apiVersion ?? "client.authentication.k8s.io/v1";
  const value = JSON.stringify({ apiVersion, kind: "ExecCredential", spec: { interactive: false } });
  exec.env = [...(exec.env ?? []), { name: "KUBERNETES_EXEC_INFO", value }];
}

function serverOf(from: AccessFrom, config: KubeConfig): string {
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error(`no cluster in ${from.kind}`);
  return server;
}

function readPem(file: string | undefined, base64: string | undefined): Uint8Array | undefined {
  if (file !== undefined && file !== "") return readFileSync(file);
  return base64 === undefined || base64 === "" ? undefined : Buffer.from(base64, "base64");
}

function pemOf(value: unknown): Uint8Array | string | undefined {
  return typeof value === "string" || value instanceof Uint8Array ? value : undefined;
}
