/** A client of the API for tests: few kinds, kept connections, every refusal an error with the server's own words. */
import fs from "node:fs";
import https from "node:https";
import { buffer } from "node:stream/consumers";
import type { ApiAccess, ApiCredential } from "./kubeconfig.ts";

/** An object as the API takes and gives it. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string | null>>;
    readonly annotations?: Readonly<Record<string, string | null>>;
    readonly resourceVersion?: string;
  };
  readonly [field: string]: unknown;
}

/** Which object: as far as its path needs it. */
export type ObjectName = Pick<ApiObject, "kind"> & {
  readonly metadata: { readonly name: string; readonly namespace?: string };
};

export class ApiRefusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const connectionsMax = 16;
const requestLimitMs = 30_000;

/** Collections by kind; NAMESPACE stands where a namespace belongs. */
const collections: Readonly<Record<string, string>> = {
  Namespace: "/api/v1/namespaces",
  Node: "/api/v1/nodes",
  Service: "/api/v1/namespaces/NAMESPACE/services",
  ServiceAccount: "/api/v1/namespaces/NAMESPACE/serviceaccounts",
  EndpointSlice: "/apis/discovery.k8s.io/v1/namespaces/NAMESPACE/endpointslices",
  ServiceCIDR: "/apis/networking.k8s.io/v1/servicecidrs",
  ClusterRole: "/apis/rbac.authorization.k8s.io/v1/clusterroles",
  ClusterRoleBinding: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
  Role: "/apis/rbac.authorization.k8s.io/v1/namespaces/NAMESPACE/roles",
  RoleBinding: "/apis/rbac.authorization.k8s.io/v1/namespaces/NAMESPACE/rolebindings",
};

export class ApiClient {
  readonly #agent: https.Agent;
  readonly #url: string;
  readonly #token: string;

  constructor({ url, caFile, credential }: ApiAccess) {
    this.#agent = new https.Agent({ keepAlive: true, maxSockets: connectionsMax, ca: fs.readFileSync(caFile) });
    this.#url = url;
    this.#token = tokenOf(credential);
  }

  async create(object: ApiObject): Promise<ApiObject> {
    return (await this.send("POST", collectionOf(object), object)) as ApiObject;
  }

  /** All of them, as many at a time as there are connections. @throws the first refusal */
  async createAll(objects: readonly ApiObject[]): Promise<void> {
    const left = objects.values();
    const worker = async (): Promise<void> => {
      for (const object of left) await this.create(object);
    };
    await Promise.all(Array.from({ length: connectionsMax }, worker));
  }

  /** JSON merge patch: null removes a field. */
  async patch(name: ObjectName, patch: unknown): Promise<ApiObject> {
    return (await this.send("PATCH", pathOf(name), patch, "application/merge-patch+json")) as ApiObject;
  }

  /** Server-side apply: creates what is not there. */
  async apply(object: ApiObject): Promise<void> {
    await this.send("PATCH", `${pathOf(object)}?fieldManager=test&force=true`, object, "application/apply-patch+yaml");
  }

  async remove(name: ObjectName): Promise<void> {
    await this.send("DELETE", pathOf(name));
  }

  /** All of a kind, over all namespaces, in one answer. */
  async list(kind: string): Promise<readonly ApiObject[]> {
    const everywhere = collectionPath(kind).replace("/namespaces/NAMESPACE", "");
    const { apiVersion, items } = (await this.send("GET", everywhere)) as {
      readonly apiVersion: string;
      readonly items: readonly ApiObject[];
    };
    // Items of a list say neither.
    return items.map((item) => ({ ...item, apiVersion, kind }));
  }

  /** A token of this service account, for the API. */
  async tokenOf(namespace: string, name: string, seconds = 3_600): Promise<string> {
    const path = `${pathOf({ kind: "ServiceAccount", metadata: { name, namespace } })}/token`;
    const asked = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds: seconds },
    };
    const { status } = (await this.send("POST", path, asked)) as { readonly status: { readonly token: string } };
    return status.token;
  }

  async text(path: string): Promise<string> {
    return (await this.#request("GET", path)).toString();
  }

  /** @throws ApiRefusal unless the answer is 2xx */
  async send(method: string, path: string, body?: unknown, type = "application/json"): Promise<unknown> {
    return JSON.parse((await this.#request(method, path, body, type)).toString());
  }

  /** Ends the connections that are not in use. */
  close(): void {
    this.#agent.destroy();
  }

  async #request(method: string, path: string, body?: unknown, type?: string): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly status: number; readonly text: Buffer }>();
    const headers = { authorization: `Bearer ${this.#token}`, ...(type === undefined ? {} : { "content-type": type }) };
    const options = { agent: this.#agent, method, headers, timeout: requestLimitMs };
    const request = https.request(`${this.#url}${path}`, options, (response) => {
      buffer(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), reject);
    });
    request.on("timeout", () => request.destroy(new Error(`${method} ${path}: silent for ${requestLimitMs} ms`)));
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
    const { status, text } = await promise;
    if (status < 200 || status > 299) throw new ApiRefusal(status, `${method} ${path}: ${status} ${messageOf(text)}`);
    return text;
  }
}

/** @throws RangeError unless it is one. */
export function tokenOf(credential: ApiCredential): string {
  if (credential.kind === "token") return credential.token;
  if (credential.kind === "token-file") return fs.readFileSync(credential.file, "utf8");
  throw new RangeError(`no token: a ${credential.kind}`);
}

function collectionPath(kind: string): string {
  const path = collections[kind];
  if (path === undefined) throw new Error(`no path is known for kind ${kind}`);
  return path;
}

function collectionOf({ kind, metadata }: ObjectName): string {
  return collectionPath(kind).replace("NAMESPACE", metadata.namespace ?? "default");
}

function pathOf(object: ObjectName): string {
  return `${collectionOf(object)}/${object.metadata.name}`;
}

function messageOf(answer: Buffer): string {
  try {
    return (JSON.parse(answer.toString()) as { readonly message: string }).message;
  } catch {
    return answer.toString();
  }
}
