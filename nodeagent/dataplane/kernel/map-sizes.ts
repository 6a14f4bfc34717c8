/** How many entries each map has. Pure. */
import { activationsMax, cidrsMax, descriptorsCeiling, firstFreeDescriptor } from "./layout.ts";

/** What the flags of the agent allow to be held. `services` counts service ports. */
export interface KernelLimits {
  readonly frontends: number;
  readonly backends: number;
  readonly services: number;
}

export const defaultKernelLimits: KernelLimits = { frontends: 262_144, backends: 1_048_576, services: 65_536 };

/** Most entries of each map, and how many of them only a quarantined service may take. */
export interface MapSizes {
  readonly frontends: number;
  readonly addresses: number;
  readonly cidrs: number;
  readonly states: number;
  readonly descriptors: number;
  readonly backends: number;
  readonly names: number;
  readonly activations: number;
  readonly reserve: { readonly descriptors: number; readonly backends: number };
}

// What the old and the new revision hold at once, until the grace is over: up to this much fits beside a full map. A round
// that needs more waits for a grace in between.
const transitMax = { frontends: 16_384, descriptors: 65_536, backends: 65_536, services: 8_192 } as const;

/** @throws RangeError if a limit is out of range. */
export function mapSizes(limits: KernelLimits): MapSizes {
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isInteger(value) || value < 1 || value > 4_194_304) {
      throw new RangeError(`--${name}-max must be from 1 to 4194304, not ${value}`);
    }
  }
  const frontends = withTransit(limits.frontends, transitMax.frontends);
  const descriptors = withTransit(limits.frontends, transitMax.descriptors) + firstFreeDescriptor;
  const backends = withTransit(limits.backends, transitMax.backends);
  return {
    frontends,
    addresses: frontends,
    cidrs: cidrsMax,
    states: 2 * frontends + cidrsMax,
    descriptors: Math.min(descriptors, descriptorsCeiling),
    backends,
    names: withTransit(limits.services, transitMax.services) + 1,
    activations: activationsMax,
    reserve: { descriptors: reserveOf(descriptors), backends: reserveOf(limits.backends) },
  };
}

function withTransit(limit: number, max: number): number {
  return limit + reserveOf(limit) + Math.min(limit, max);
}

function reserveOf(limit: number): number {
  return Math.ceil(limit / 100);
}
