/** Follows commits and acks of a lab's control plane by `weft revisions --watch`, across its restarts. */
import type { LabProcess } from "./lab-process.ts";

export interface CommitEvent {
  readonly event: "commit";
  readonly revision: number;
  readonly puts: number;
  readonly removals: number;
  readonly bytes: number;
  readonly committedAtUs: number;
  readonly services: readonly string[];
}

export interface AckEvent {
  readonly event: "ack";
  readonly node: string;
  readonly revision: number;
  readonly commitToAckUs: number;
  readonly receivedToActiveUs: number | null;
  readonly failures: number;
}

export interface ConvergenceEvent {
  readonly event: "convergence";
  readonly revision: number;
  readonly percent: number;
  readonly elapsedUs: number;
  readonly nodes: number;
}

export type RevisionEvent = CommitEvent | AckEvent | ConvergenceEvent;

/** One revision, and what each node said about it while it was watched: past acks are not repeated to a new watch. */
export interface ObservedRevision {
  readonly commit: CommitEvent;
  /** By node: the first ack of this revision or a later one. */
  readonly acks: ReadonlyMap<string, AckEvent>;
}

const waitMs = 20_000;

export class RevisionWatch {
  readonly #process: LabProcess;
  readonly #nodes: readonly string[];
  readonly #events: RevisionEvent[] = [];
  readonly #changed = new Set<() => void>();

  /** `process`: `weft revisions --watch --past 64 -o json`. A restarted control plane needs a fresh watch. */
  constructor(process: LabProcess, nodes: readonly string[]) {
    this.#process = process;
    this.#nodes = nodes;
    process.onLine((line) => {
      this.#events.push(JSON.parse(line) as RevisionEvent);
      for (const look of this.#changed) look();
    });
    void process.ended.then(() => {
      for (const look of this.#changed) look();
    });
  }

  /** Newest revision committed so far; 0: none seen. */
  get head(): number {
    return this.#events.findLast((event) => event.event === "commit")?.revision ?? 0;
  }

  /** Resolves once a commit was seen: what happens from then on is not missed. */
  async ready(): Promise<void> {
    const began = performance.now();
    while (this.head === 0) {
      const leftMs = waitMs - (performance.now() - began);
      if (leftMs <= 0 || !this.#process.isRunning)
        throw new Error(`weft revisions said nothing: ${this.#process.logTail()}`);
      await this.#change(leftMs);
    }
  }

  /** The first revision after `after` that touches the service, with the acks so far. @throws Error if none comes. */
  async committed(service: string, after: number): Promise<ObservedRevision> {
    return this.#until(service, after, () => true);
  }

  /** The same, once it runs on every node. @throws Error naming who is missing. */
  async settled(service: string, after: number): Promise<ObservedRevision> {
    return this.#until(service, after, (observed) => observed.acks.size === this.#nodes.length);
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }

  async #until(
    service: string,
    after: number,
    isEnough: (observed: ObservedRevision) => boolean,
  ): Promise<ObservedRevision> {
    const began = performance.now();
    for (;;) {
      const observed = this.#observe(service, after);
      if (observed !== undefined && isEnough(observed)) return observed;
      const leftMs = waitMs - (performance.now() - began);
      if (leftMs <= 0 || !this.#process.isRunning) throw new Error(this.#explain(service, after, observed));
      await this.#change(leftMs);
    }
  }

  #observe(service: string, after: number): ObservedRevision | undefined {
    const commit = this.#events.find(
      (event) => event.event === "commit" && event.revision > after && event.services.includes(service),
    );
    if (commit?.event !== "commit") return undefined;
    const acks = new Map<string, AckEvent>();
    for (const event of this.#events) {
      if (event.event === "ack" && event.revision >= commit.revision && !acks.has(event.node))
        acks.set(event.node, event);
    }
    return { commit, acks };
  }

  #explain(service: string, after: number, observed: ObservedRevision | undefined): string {
    if (!this.#process.isRunning) return `weft revisions ended: ${this.#process.logTail()}`;
    if (observed === undefined) return `no revision after ${after} touched ${service} within ${waitMs} ms`;
    const missing = this.#nodes.filter((node) => !observed.acks.has(node));
    return `revision ${observed.commit.revision} is not acked by ${missing.join(", ")} within ${waitMs} ms`;
  }

  async #change(limitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, limitMs);
    this.#changed.add(resolve);
    await promise;
    clearTimeout(timer);
    this.#changed.delete(resolve);
  }
}
