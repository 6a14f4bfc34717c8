/** Who holds what when several services ask for the same (S18). The first by `order` holds it; the others lose it. */
export class ClaimBoard<T extends { readonly key: string; readonly service: string }> {
  readonly #order: (a: T, b: T) => number;
  // Nearly always one claimant: the bare claim saves an array for each frontend of the cluster.
  readonly #claims = new Map<string, T | readonly T[]>();

  constructor(order: (a: T, b: T) => number) {
    this.#order = order;
  }

  holder(key: string): T | undefined {
    return this.#claimants(key)[0];
  }

  /** Adds to `affected` every other service whose frontends or notices this may change. */
  add(claim: T, affected: Set<string>): void {
    const others = this.#claimants(claim.key);
    for (const other of others) affected.add(other.service);
    this.#claims.set(claim.key, others.length === 0 ? claim : [...others, claim].toSorted(this.#order));
  }

  /** The same for a claim that was added before. */
  remove(claim: T, affected: Set<string>): void {
    const rest = this.#claimants(claim.key).filter((other) => other !== claim);
    for (const other of rest) affected.add(other.service);
    const only = rest[0];
    if (only === undefined) this.#claims.delete(claim.key);
    else this.#claims.set(claim.key, rest.length === 1 ? only : rest);
  }

  has(claim: T): boolean {
    return this.#claimants(claim.key).includes(claim);
  }

  /** Removes every claim of `service` on `key`, of whatever version. */
  forget(key: string, service: string, affected: Set<string>): void {
    for (const claim of this.#claimants(key)) if (claim.service === service) this.remove(claim, affected);
  }

  #claimants(key: string): readonly T[] {
    const found = this.#claims.get(key);
    return found === undefined ? [] : Array.isArray(found) ? found : [found as T];
  }
}
