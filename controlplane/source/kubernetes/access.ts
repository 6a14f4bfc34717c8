/** The port of credentials: where the API server is and how to ask it. */

/** PEM. Undefined: the system's, or none. */
export interface ApiTls {
  readonly ca: Uint8Array | string | undefined;
  readonly cert: Uint8Array | string | undefined;
  readonly key: Uint8Array | string | undefined;
  readonly servername: string | undefined;
  readonly rejectUnauthorized: boolean;
}

export interface ApiAccess {
  /** "https://HOST:PORT" or with a path, without a slash at its end. */
  readonly server: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: ApiTls;
  /** URL of an HTTP proxy; undefined: none. */
  readonly proxy: string | undefined;
}

export interface Access {
  /** Address of the API server, for messages. */
  readonly server: string;
  /** As of now: rotated tokens and certificates are read again. Rejects if there are none, with a message that says why. */
  current(): Promise<ApiAccess>;
  /** Forgets what is remembered of files and plug-ins, since the API server refused it or is not there. */
  renew(): void;
}
