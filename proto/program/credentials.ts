/** grpc-js credentials of clients, from the TLS flags; certificates are used for new connections as soon as the files change. */
import { credentials, experimental } from "@grpc/grpc-js";
import type { ChannelCredentials, ChannelOptions } from "@grpc/grpc-js";
import { clientTlsFiles } from "./tls-flags.ts";
import type { ClientSecurity } from "./tls-flags.ts";
import { watchTlsFiles } from "./tls-files.ts";
import type { TlsMaterial, WatchOptions } from "./tls-files.ts";

type CertificateProvider = Parameters<typeof experimental.createCertificateProviderChannelCredentials>[0];
type CaListener = Parameters<CertificateProvider["addCaCertificateListener"]>[0];
type IdentityListener = Parameters<CertificateProvider["addIdentityCertificateListener"]>[0];

export interface ClientCredentials {
  readonly credentials: ChannelCredentials;
  /** To be merged into the options of the channel. */
  readonly channelOptions: ChannelOptions;
}

/** @throws ProgramError naming the file and the remedy. */
export function clientCredentials(security: ClientSecurity, options: WatchOptions): ClientCredentials {
  const names = clientTlsFiles(security);
  if (security.kind === "insecure" || names === undefined)
    return { credentials: credentials.createInsecure(), channelOptions: {} };
  const { identity, serverName } = security;
  const provider = new TlsFilesProvider();
  provider.publish(watchTlsFiles(names, options, (material) => provider.publish(material)));
  const identityProvider = identity === undefined ? null : provider;
  return {
    credentials: experimental.createCertificateProviderChannelCredentials(provider, identityProvider),
    channelOptions: serverName === undefined ? {} : { "grpc.ssl_target_name_override": serverName },
  };
}

// grpc-js has a FileWatcherCertificateProvider, but it gives up its last good certificates when a file is missing for a moment
// or half written. Listeners are called at once, so a channel never dials without certificates.
class TlsFilesProvider implements CertificateProvider {
  readonly #caListeners = new Set<CaListener>();
  readonly #identityListeners = new Set<IdentityListener>();
  #material: TlsMaterial | undefined;

  publish(material: TlsMaterial): void {
    this.#material = material;
    for (const listener of this.#caListeners) this.#tellCa(listener);
    for (const listener of this.#identityListeners) this.#tellIdentity(listener);
  }

  addCaCertificateListener(listener: CaListener): void {
    this.#caListeners.add(listener);
    this.#tellCa(listener);
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.#caListeners.delete(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.add(listener);
    this.#tellIdentity(listener);
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.delete(listener);
  }

  #tellCa(listener: CaListener): void {
    listener(this.#material === undefined ? null : { caCertificate: this.#material.ca });
  }

  #tellIdentity(listener: IdentityListener): void {
    const identity = this.#material?.identity;
    listener(identity === undefined ? null : { certificate: identity.cert, privateKey: identity.key });
  }
}
