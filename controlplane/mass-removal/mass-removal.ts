/** What counts as a mass removal: an API server that lost its data, a wrong kubeconfig, an empty folder (DESIGN section 4). */

export interface MassRemovalLimits {
  /** Share of the services above which their removal is doubted, percent; 0: nothing is ever doubted. */
  readonly thresholdPercent: number;
  /** Fewer services than this are never doubted. */
  readonly servicesMin: number;
  /** How long a doubted removal must last to be believed. */
  readonly holdMs: number;
}

export const massRemovalLimits: MassRemovalLimits = { thresholdPercent: 50, servicesMin: 10, holdMs: 600_000 };

/** Services whose removal is held back. */
export interface HeldRemoval {
  readonly services: number;
  /** Services that stood when it began. */
  readonly ofServices: number;
  /** Unix milliseconds. */
  readonly sinceMs: number;
  /** Unix milliseconds at which it goes on by itself. */
  readonly untilMs: number;
  /** Sorted, at most `namesMax`. */
  readonly names: readonly string[];
}

/** Services, or nodes, that are named where all are counted. */
export const namesMax = 64;

export function isMassRemoval(services: number, ofServices: number, limits: MassRemovalLimits): boolean {
  if (limits.thresholdPercent === 0 || services < limits.servicesMin) return false;
  return services * 100 > ofServices * limits.thresholdPercent;
}
