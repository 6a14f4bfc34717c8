/** The health check node ports of all services, kept up to date by the services that were touched. Pure. */
import type { PlanInput } from "../plan/plan-input.ts";
import { healthCheckOf } from "./health-check.ts";
import type { HealthCheck } from "./health-check.ts";

export class HealthChecks {
  readonly #input: PlanInput;
  /** Id of this node's name. */
  readonly #node: bigint;
  readonly #checks = new Map<string, HealthCheck>();

  constructor(input: PlanInput, node: bigint) {
    this.#input = input;
    this.#node = node;
  }

  get(service: string): HealthCheck | undefined {
    return this.#checks.get(service);
  }

  /** By service. */
  all(): ReadonlyMap<string, HealthCheck> {
    return this.#checks;
  }

  /** Looks at these services again. Returns those whose port came, went or is another; counts are just taken over. */
  touch(services: Iterable<string>): readonly string[] {
    const changed: string[] = [];
    for (const service of services) {
      const before = this.#checks.get(service);
      const view = this.#input.serviceByName(service);
      const check = view === undefined ? undefined : healthCheckOf(view, this.#node);
      if (check !== undefined) this.#checks.set(service, check);
      else if (before !== undefined) this.#checks.delete(service);
      if (before?.port !== check?.port) changed.push(service);
    }
    return changed;
  }

  /** Looks at everything again. */
  touchAll(): readonly string[] {
    return this.touch(new Set([...this.#checks.keys(), ...this.#input.serviceNames()]));
  }
}
