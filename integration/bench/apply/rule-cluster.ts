/** The same cluster as rules of kube-proxy's form in a network namespace, in which single endpoints are replaced. */
import type { ClusterShape } from "../cluster.ts";
import { proxiedService } from "../peers/proxied-cluster.ts";
import type { ProxiedService } from "../peers/proxied-service.ts";
import type { RulePeer } from "../peers/rule-peer.ts";

const family = 4;

export class RuleCluster {
  readonly peer: RulePeer;
  readonly shape: ClusterShape;
  readonly #target: { readonly namespace: string; readonly family: typeof family };
  readonly #services: ProxiedService[];
  readonly #signal: AbortSignal;
  #changes = 0;

  constructor(peer: RulePeer, shape: ClusterShape, namespace: string, signal: AbortSignal) {
    this.peer = peer;
    this.shape = shape;
    this.#target = { namespace, family };
    this.#signal = signal;
    this.#services = Array.from({ length: shape.services }, (_, service) => proxiedService(shape, service, family));
  }

  /** Resolves with milliseconds. */
  async load(): Promise<number> {
    return this.peer.replace(this.#target, this.#services, this.#signal);
  }

  /** Replaces the last endpoint of one service. Resolves with the milliseconds that the program took. */
  async change(): Promise<number> {
    const changes = ++this.#changes;
    const service = (changes * 7_919) % this.shape.services;
    const changed = proxiedService(this.shape, service, family, changes);
    this.#services[service] = changed;
    return this.peer.change(this.#target, this.#services, [changed], this.#signal);
  }
}
