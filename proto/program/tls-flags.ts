/** The TLS flags of servers and of clients, and what they say together. */
import { ProgramError } from "./errors.ts";
import { boolean, text } from "./flags.ts";
import type { Values } from "./flags.ts";
import type { TlsFileNames } from "./tls-files.ts";

export const serverTlsFlags = {
  tlsCert: text({ value: "FILE", help: "Certificate chain of this server, PEM. Read again when it changes." }),
  tlsKey: text({ value: "FILE", help: "Private key of this server, PEM. Read again when it changes." }),
  tlsClientCa: text({
    value: "FILE",
    help: "Authorities whose client certificates are accepted, PEM. Read again when it changes.",
  }),
  insecure: boolean({ help: "Listen without TLS. Anyone who reaches the port is believed." }),
} as const;

export const clientTlsFlags = {
  tlsCa: text({
    value: "FILE",
    help: "Authorities whose server certificates are accepted, PEM. Read again when it changes.",
  }),
  tlsCert: text({ value: "FILE", help: "Certificate chain of this client, PEM. Read again when it changes." }),
  tlsKey: text({ value: "FILE", help: "Private key of this client, PEM. Read again when it changes." }),
  tlsServerName: text({
    value: "NAME",
    help: "Name that the server's certificate must have, if not the host that is dialled.",
  }),
  insecure: boolean({ help: "Connect without TLS." }),
} as const;

/** For `alternatives` of a command with `serverTlsFlags`. */
export const serverTlsAlternative = [["insecure"], ["tlsCert", "tlsKey", "tlsClientCa"]] as const;

/** For `alternatives` of a command with `clientTlsFlags`. */
export const clientTlsAlternative = [["insecure"], ["tlsCa", "tlsCert", "tlsKey", "tlsServerName"]] as const;

export type ServerSecurity =
  | { readonly kind: "insecure" }
  | { readonly kind: "tls"; readonly certFile: string; readonly keyFile: string; readonly clientCaFile: string };

export type ClientSecurity =
  | { readonly kind: "insecure" }
  | {
      readonly kind: "tls";
      readonly caFile: string;
      /** Undefined: the client shows no certificate. */
      readonly identity: { readonly certFile: string; readonly keyFile: string } | undefined;
      /** Undefined: the host that is dialled. */
      readonly serverName: string | undefined;
    };

type ServerTlsValues = Values<typeof serverTlsFlags>;
type ClientTlsValues = Values<typeof clientTlsFlags>;

/** For `check` of a command with `serverTlsFlags`. */
export function checkServerTls(values: ServerTlsValues): string | undefined {
  const security = readServer(values);
  return typeof security === "string" ? security : undefined;
}

/** For `check` of a command with `clientTlsFlags`. */
export function checkClientTls(values: ClientTlsValues): string | undefined {
  const security = readClient(values);
  return typeof security === "string" ? security : undefined;
}

/** @throws ProgramError (usage) if `checkServerTls` was not asked first. */
export function serverSecurity(values: ServerTlsValues): ServerSecurity {
  return orThrow(readServer(values));
}

/** @throws ProgramError (usage) if `checkClientTls` was not asked first. */
export function clientSecurity(values: ClientTlsValues): ClientSecurity {
  return orThrow(readClient(values));
}

function orThrow<T extends object>(security: T | string): T {
  if (typeof security === "string") throw new ProgramError("usage", security, { remedy: "" });
  return security;
}

function readServer(values: ServerTlsValues): ServerSecurity | string {
  const { tlsCert, tlsKey, tlsClientCa } = values;
  const given = [tlsCert, tlsKey, tlsClientCa].filter((file) => file !== undefined).length;
  const both = "--tls-cert, --tls-key and --tls-client-ca";
  if (values.insecure) return given === 0 ? { kind: "insecure" } : `--insecure excludes ${both}: give one or the other`;
  if (tlsCert !== undefined && tlsKey !== undefined && tlsClientCa !== undefined) {
    return { kind: "tls", certFile: tlsCert, keyFile: tlsKey, clientCaFile: tlsClientCa };
  }
  return given === 0 ? `give ${both}, or --insecure` : `${both} belong together: give all three`;
}

/** Undefined: none are named. */
export function clientTlsFiles(security: ClientSecurity): TlsFileNames | undefined {
  if (security.kind === "insecure") return undefined;
  const { caFile, identity } = security;
  return {
    ca: ["--tls-ca", caFile],
    identity: identity && { cert: ["--tls-cert", identity.certFile], key: ["--tls-key", identity.keyFile] },
  };
}

function readClient(values: ClientTlsValues): ClientSecurity | string {
  const { tlsCa, tlsCert, tlsKey, tlsServerName } = values;
  if (values.insecure) {
    const given = [tlsCa, tlsCert, tlsKey, tlsServerName].some((value) => value !== undefined);
    return given ? "--insecure excludes all --tls- flags: give one or the other" : { kind: "insecure" };
  }
  if (tlsCa === undefined) return "give --tls-ca (and --tls-cert with --tls-key), or --insecure";
  if ((tlsCert === undefined) !== (tlsKey === undefined)) return "--tls-cert and --tls-key belong together: give both";
  const identity = tlsCert === undefined || tlsKey === undefined ? undefined : { certFile: tlsCert, keyFile: tlsKey };
  return { kind: "tls", caFile: tlsCa, identity, serverName: tlsServerName };
}
