/** What a lab's client is told on stdin and says on stdout, one JSON value a line. */

/**
 * How one exchange goes. `tcp`: connect, read to the end. `udp`: one socket for all exchanges, unconnected. `udp-connected`: a
 * connected socket for each exchange.
 */
export type Transport = "tcp" | "udp" | "udp-connected";

export interface ClientTarget {
  /** How reports call it. */
  readonly name: string;
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
  /** The socket is bound to this address first. */
  readonly source?: string | undefined;
  /**
   * The port that answers is a generation, shared by all ordered targets of this client: one that begins after an answer of
   * generation N was heard must not be answered by an older one.
   */
  readonly isOrdered?: boolean;
}

export type ClientCommand =
  | {
      /** Keeps opening exchanges, the targets in turn, until told anew. */
      readonly kind: "traffic";
      readonly targets: readonly ClientTarget[];
      readonly perSecond: number;
      readonly reportMs: number;
    }
  | {
      /** That many exchanges, one after the other. */
      readonly kind: "probe";
      readonly id: number;
      readonly target: ClientTarget;
      readonly attempts: number;
      readonly timeoutMs: number;
    }
  /** Opens a socket, makes its first exchange and keeps it. Over TCP: to an echo port. */
  | { readonly kind: "hold"; readonly id: number; readonly target: ClientTarget; readonly timeoutMs: number }
  /** One more exchange on a held socket. */
  | { readonly kind: "use"; readonly id: number; readonly timeoutMs: number }
  /** Closes all held sockets. */
  | { readonly kind: "release" }
  /** Listens and closes at once. */
  | {
      readonly kind: "bind";
      readonly id: number;
      readonly protocol: "tcp" | "udp";
      readonly address: string;
      readonly port: number;
    };

export interface BackendAnswers {
  readonly count: number;
  /** Unix milliseconds at which the first and the last of these exchanges began. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface TargetReport {
  readonly made: number;
  readonly failed: number;
  /** By error: a code such as ECONNREFUSED, or what was wrong with the answer. */
  readonly errors: Readonly<Record<string, number>>;
  /** By "pod port". */
  readonly answers: Readonly<Record<string, BackendAnswers>>;
}

export type ClientMessage =
  | { readonly kind: "ready" }
  | {
      readonly kind: "report";
      readonly fromMs: number;
      readonly toMs: number;
      readonly targets: Readonly<Record<string, TargetReport>>;
      /** Exchanges that were due while as many were open as are allowed. */
      readonly skipped: number;
      /** What ordered targets answered out of order, at most a few. */
      readonly regressions: readonly string[];
    }
  /** `outcomes`: "pod port" or "!" and an error, in order. */
  | { readonly kind: "probed"; readonly id: number; readonly outcomes: readonly string[] }
  /** `outcome`: what answered, "pod port" unless it is an echo; "bound"; or "!" and an error. */
  | { readonly kind: "held"; readonly id: number; readonly outcome: string };
