/**
 * Serves the health check node ports. What should be open is asked for by service; `run` opens and closes. A port that cannot be
 * bound is a failure of its service, tried again, and holds nothing else back.
 */
import { isIPv6 } from "node:net";
import type { Address, Family } from "@weft/proto/address.ts";
import { ProgramError, messageOf, printProgramError } from "@weft/proto/program/errors.ts";
import { listenHttp } from "@weft/proto/program/http.ts";
import type { HttpServer } from "@weft/proto/program/http.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { answerHealthCheck } from "./health-check.ts";
import type { HealthCheck } from "./health-check.ts";

/** How often a port that could not be bound is tried again. */
const retryMs = 10_000;

export interface HealthCheckServersOptions {
  readonly checks: ReadonlyMap<string, HealthCheck>;
  /** Where the ports listen; "all": every address of the machine. */
  readonly addresses: readonly Address[] | "all";
  readonly isProxyHealthy: () => boolean;
  readonly log: Log;
  /** The list of failures changed. */
  readonly onFailuresChange: () => void;
}

export interface HealthCheckFailure {
  /** "ns/name". */
  readonly service: string;
  /** What, where and what to do. */
  readonly reason: string;
}

interface Open {
  readonly port: number;
  /** The `addresses` that it listens on. */
  readonly at: string;
  readonly servers: readonly HttpServer[];
}

export class HealthCheckServers {
  readonly #options: HealthCheckServersOptions;
  #addresses: readonly Address[] | "all";
  readonly #open = new Map<string, Open>();
  readonly #failures = new Map<string, HealthCheckFailure>();
  // Services whose listeners may be other than they should.
  readonly #due = new Set<string>();
  #wake: (() => void) | undefined;

  constructor(options: HealthCheckServersOptions) {
    this.#options = options;
    this.#addresses = options.addresses;
  }

  get failures(): readonly HealthCheckFailure[] {
    return [...this.#failures.values()];
  }

  /** Ports that are served. */
  get size(): number {
    return this.#open.size;
  }

  /** The ports of these services came, went or are others. */
  changed(services: Iterable<string>): void {
    for (const service of services) this.#due.add(service);
    if (this.#due.size > 0) this.#wake?.();
  }

  listenOn(addresses: readonly Address[] | "all"): void {
    if (String(addresses) === String(this.#addresses)) return;
    this.#addresses = addresses;
    this.changed(this.#options.checks.keys());
  }

  /** Opens and closes until `signal` aborts; then closes all. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    try {
      while (!signal.aborted) {
        await this.#settle(signal);
        if (signal.aborted) return;
        await this.#somethingDue();
      }
    } finally {
      await Promise.all(Array.from(this.#open.keys(), (service) => this.#close(service)));
    }
  }

  async #somethingDue(): Promise<void> {
    if (this.#due.size > 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = this.#failures.size === 0 ? undefined : setTimeout(resolve, retryMs).unref();
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
    if (this.#due.size === 0) for (const service of this.#failures.keys()) this.#due.add(service);
  }

  // First all that must close: a port may move from one service to another.
  async #settle(signal: AbortSignal): Promise<void> {
    const { checks, onFailuresChange } = this.#options;
    const due = [...this.#due];
    this.#due.clear();
    const at = String(this.#addresses);
    const before = this.#printFailures();
    const closing: string[] = [];
    const opening: HealthCheck[] = [];
    for (const service of due) {
      const check = checks.get(service);
      const open = this.#open.get(service);
      if (check === undefined) this.#failures.delete(service);
      if (open !== undefined && open.port === check?.port && open.at === at) continue;
      if (open !== undefined) closing.push(service);
      if (check !== undefined) opening.push(check);
    }
    await Promise.all(closing.map((service) => this.#close(service)));
    // One that waited for such a port need not wait longer.
    const waiting = closing.length === 0 ? [] : [...this.#failures.keys()].filter((service) => !due.includes(service));
    for (const service of waiting) this.#due.add(service);
    for (const check of opening) if (!signal.aborted) await this.#serve(check, at);
    if (this.#printFailures() !== before) onFailuresChange();
  }

  #printFailures(): string {
    return Array.from(this.#failures.values(), ({ reason }) => reason).join("\n");
  }

  async #serve(check: HealthCheck, at: string): Promise<void> {
    const { log } = this.#options;
    const { service, port } = check;
    const servers: HttpServer[] = [];
    try {
      const hosts = this.#addresses === "all" ? [anyHost] : this.#addresses;
      for (const host of hosts) servers.push(await this.#listen(host, service, port));
    } catch (error) {
      await Promise.all(servers.map((server) => server.close()));
      const why = error instanceof ProgramError ? printProgramError(error) : messageOf(error);
      const holder = [...this.#open].find(([, open]) => open.port === port)?.[0];
      const reason =
        `health check node port ${port} of service ${service} is not served: ` +
        (holder === undefined ? why : `service ${holder} has it; change the port of one of them`);
      if (this.#failures.get(service)?.reason !== reason) log.error(reason);
      this.#failures.set(service, { service, reason });
      return;
    }
    if (this.#failures.delete(service)) log.info("health check node port is served now", { service, port });
    this.#open.set(service, { port, at, servers });
  }

  async #listen(host: string, service: string, port: number): Promise<HttpServer> {
    const { checks, isProxyHealthy, log } = this.#options;
    return listenHttp(
      { host, port },
      ({ localAddress }) => {
        const check = checks.get(service);
        // The last questions to a port that is being closed.
        if (check === undefined) return { status: 503, body: "" };
        const family: Family = isIPv6(localAddress) ? 6 : 4;
        return answerHealthCheck(check, family, isProxyHealthy());
      },
      log,
    );
  }

  async #close(service: string): Promise<void> {
    const open = this.#open.get(service);
    this.#open.delete(service);
    await Promise.all((open?.servers ?? []).map((server) => server.close()));
  }
}

/** Node listens on all addresses of both families, or of IPv4 where the kernel has no IPv6. */
const anyHost = "";
