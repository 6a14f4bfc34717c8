/** The kernel of a node: what is live outlives the agent, not the node. A round takes time, and the agent may die in it. */
import type {
  Adopted,
  AuditStep,
  Dataplane,
  Round,
  RoundResult,
  ServicePlan,
} from "@weft/nodeagent/dataplane/dataplane.ts";
import { planDifferences } from "@weft/nodeagent/dataplane/plan-difference.ts";
import type { PlanDifference } from "@weft/nodeagent/dataplane/plan-difference.ts";
import type { Frontend } from "@weft/nodeagent/plan/frontend.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

const stageMaxMs = 40;
const slowStageMaxMs = 5_000;

export class Kernel {
  /** Rounds take long. */
  isSlow = false;
  cursor: Cursor | undefined;
  readonly #held = new Map<string, ServicePlan>();

  /** Name, then plan. Of services that have something live. */
  get held(): ReadonlyMap<string, ServicePlan> {
    return this.#held;
  }

  activate(round: Round, isEverything: boolean): void {
    if (isEverything) this.#held.clear();
    for (const plan of round.services) {
      if (isEmpty(plan)) this.#held.delete(plan.service);
      else this.#held.set(plan.service, plan);
    }
    this.cursor = round.cursor;
  }

  rebooted(): void {
    this.#held.clear();
    this.cursor = undefined;
  }
}

/** Names of the services that have something live once `round` is active. */
export function servicesAfter({ held }: Kernel, round: Round, isEverything: boolean): ReadonlySet<string> {
  const names = new Set(isEverything ? [] : held.keys());
  for (const plan of round.services) {
    if (isEmpty(plan)) names.delete(plan.service);
    else names.add(plan.service);
  }
  return names;
}

function isEmpty({ frontends, rejectAddresses, passAddresses }: ServicePlan): boolean {
  return frontends.length + rejectAddresses.length + passAddresses.length === 0;
}

export interface SimulatedDataplaneOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly kernel: Kernel;
  /** The agent was killed: nothing that it began goes on. */
  readonly isDead: () => boolean;
  /** Root digest of what the agent holds now. */
  readonly digest: () => bigint;
  /** Before it is live. `digest`: of what the round was planned from. */
  readonly activating: (round: Round, digest: bigint, isEverything: boolean) => void;
}

const never = new Promise<never>(() => undefined);

export class SimulatedDataplane implements Dataplane {
  readonly #options: SimulatedDataplaneOptions;

  constructor(options: SimulatedDataplaneOptions) {
    this.#options = options;
  }

  open(): Promise<Adopted> {
    return Promise.resolve({ cursor: this.#options.kernel.cursor });
  }

  apply(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    return this.#round(round, false, beforeActivate);
  }

  replaceAll(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    return this.#round(round, true, beforeActivate);
  }

  dump(): readonly Frontend[] {
    return Array.from(this.#options.kernel.held.values(), ({ frontends }) => frontends).flat();
  }

  limits(): readonly [] {
    return [];
  }

  audit(): AuditStep {
    return { findings: [], isEnd: true };
  }

  auditSize(): number {
    return 0;
  }

  compare(plan: ServicePlan): readonly PlanDifference[] {
    const { service } = plan;
    const nothing = { service, frontends: [], rejectAddresses: [], passAddresses: [] };
    return planDifferences(this.#options.kernel.held.get(service) ?? nothing, plan);
  }

  services(): Iterable<string> {
    return this.#options.kernel.held.keys();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #round(round: Round, isEverything: boolean, beforeActivate: () => void): Promise<RoundResult> {
    const { time, random, kernel, isDead, activating } = this.#options;
    const digest = this.#options.digest();
    await time.sleep(random.delayMs(kernel.isSlow ? slowStageMaxMs : stageMaxMs));
    if (isDead()) return never;
    beforeActivate();
    // It may be killed between the journal and the store that makes it live.
    await time.sleep(random.delayMs(2));
    if (isDead()) return never;
    activating(round, digest, isEverything);
    kernel.activate(round, isEverything);
    return { failures: [], stageUs: 0 };
  }
}
