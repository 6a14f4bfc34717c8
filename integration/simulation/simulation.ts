/** One run: a cluster, a control plane, some nodes, and everything that can happen to them, all decided by a seed. */
import { printCursor } from "@weft/proto/cursor.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { everyNode } from "@weft/controlplane/fleet/quorum.ts";
import { SimulatedCluster } from "./cluster.ts";
import { Confirmations } from "./confirmations.ts";
import { drawLimits } from "./control-plane-limits.ts";
import { SimulatedControlPlane } from "./control-plane.ts";
import { Counts } from "./counts.ts";
import { differenceOf } from "./difference.ts";
import { Invariants } from "./invariants.ts";
import { Mix } from "./mix.ts";
import type { Happening } from "./mix.ts";
import { SimulatedNode } from "./node.ts";
import { NodeFaults } from "./node-faults.ts";
import { Random } from "./random.ts";
import { RemovalAccount } from "./removal-account.ts";
import { RemovalInvariants } from "./removal-invariants.ts";
import { SimulatedWorkers } from "./simulated-workers.ts";
import { Violation } from "./violation.ts";
import { VirtualTime } from "./virtual-time.ts";
import { witnesses } from "./witnesses.ts";

const originMs = 1_700_000_000_000;
const nodesMax = 4;
/** Sometimes there are more, so that they stand in each other's way. */
const manyNodesMax = 10;
const servicesMin = 3;
/** Short, so that a run sees the end of it. */
const massRemoval = { thresholdPercent: 50, servicesMin, holdMs: 40_000 };
/** By then everything in a control plane knows that the hold time is over. */
const toldMs = 2_000;
/** How long things happen, and how long the end may take: the rule of five minutes, and the slowest repair, behind it. */
const faultsMs = 95_000;
const quietMs = 20 * 60_000;

export interface Outcome {
  readonly counts: Counts;
  readonly events: number;
  /** Undefined: all held. */
  readonly violation: string | undefined;
}

/** @param say Gets a line for everything that happens. */
export async function simulate(seed: number, say?: (line: string) => void): Promise<Outcome> {
  const random = new Random(seed);
  using time = new VirtualTime(originMs, random);
  const saying = say && ((line: string) => say(`${(time.nowMs / 1_000).toFixed(3).padStart(9)} s  ${line}`));
  const run = new Run(time, random, saying);
  const crashed = (reason: unknown): void => run.crashed(reason);
  process.on("unhandledRejection", crashed);
  try {
    await run.happen();
    await run.settle();
    return { counts: run.counts, events: time.ran, violation: undefined };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const violation = error instanceof Violation ? error.message : (error.stack ?? error.message);
    return { counts: run.counts, events: time.ran, violation };
  } finally {
    process.off("unhandledRejection", crashed);
  }
}

class Run {
  readonly counts = new Counts();
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #say: (line: string) => void;
  readonly #invariants: Invariants;
  readonly #removals = new RemovalInvariants();
  readonly #cluster: SimulatedCluster;
  readonly #nodes: readonly SimulatedNode[];
  readonly #faults: NodeFaults;
  readonly #confirmations: Confirmations;
  readonly #mix: Mix;
  readonly #acts: Record<Happening, (node: SimulatedNode) => void | Promise<void>> = {
    change: () => this.#change(),
    "wait for the head": () => this.#waitForHead(),
    drain: () => this.#drain(),
    slow: (node) => this.#faults.slow(node),
    "spoil all": () => this.#spoilAll(),
    "lose file": (node) => this.#faults.loseFile(node),
    break: (node) => this.#faults.break(node),
    freeze: (node) => this.#faults.freeze(node),
    kill: (node) => this.#faults.kill(node),
    "power failure": (node) => this.#faults.powerFail(node),
    replace: (node) => this.#faults.replace(node),
    spoil: (node) => this.#faults.corrupt(node),
    "fill disk": (node) => this.#faults.fillDisk(node),
    "lose source": () => this.#loseSource(),
    confirm: () => this.#confirmations.confirm(this.#controlPlane),
    "restart control plane": () => this.#restartControlPlane(),
    "end worker": () => this.#endWorker(),
    burst: () => {
      for (let i = this.#random.integer(2, 12); i > 0; i--) this.#change();
    },
  };
  #controlPlane: SimulatedControlPlane | undefined;
  // Its clock, against ours.
  #skewMs = 0;
  #violation: Error | undefined;

  constructor(time: VirtualTime, random: Random, saying: ((line: string) => void) | undefined) {
    const say = saying ?? ((): void => undefined);
    this.#time = time;
    this.#random = random;
    this.#say = say;
    this.#mix = new Mix(random);
    this.#faults = new NodeFaults(time, random, say, this.counts);
    this.#invariants = new Invariants(this.counts, () => time.nowMs);
    const nodes = random.isTrue(0.1) ? random.integer(nodesMax + 1, manyNodesMax) : random.integer(1, nodesMax);
    const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
    this.#cluster = new SimulatedCluster(names, random);
    const witness = this.#guarded(witnesses(saying, [this.#invariants, this.#removals]));
    this.#nodes = names.map(
      (name, i) =>
        new SimulatedNode({
          name,
          instance: BigInt(i + 1),
          time,
          random,
          limits: { massRemovalPercent: massRemoval.thresholdPercent, massRemovalServicesMin: servicesMin },
          accept: (port) => this.#controlPlane?.accept(port),
          witness,
          faultFound: (fault) => this.#violated(`10: ${name} finds fault with the control plane: ${fault}`),
        }),
    );
    const nodesOf = { nodes: this.#nodes, violated: (why: string): void => this.#violated(why) };
    this.#confirmations = new Confirmations({ time, random, say, counts: this.counts, ...nodesOf });
  }

  /** A program ends by an error. */
  crashed(reason: unknown): void {
    this.#violation ??= reason instanceof Error ? reason : new Error(String(reason));
  }

  async happen(): Promise<void> {
    await this.#startControlPlane();
    for (const node of this.#nodes) node.start();
    while (this.#time.nowMs < faultsMs + this.#confirmations.calmMs) {
      await this.#pass(this.#random.delayMs(8_000));
      if (this.#confirmations.isCalm) this.#change();
      else await this.#step();
    }
  }

  /** All faults end; then all must become equal, and stay so. */
  async settle(): Promise<void> {
    this.#say("no more faults");
    for (const node of this.#nodes) {
      node.disk.isFull = false;
      node.kernel.isSlow = false;
      node.link?.slow(false);
      node.link?.thaw();
      node.start();
    }
    if (this.#controlPlane?.isDead !== false) await this.#startControlPlane();
    await this.#until(() => this.#controlPlane?.isFollowing === true);
    this.#controlPlane?.relist(this.#cluster.records());
    await this.#becomeEqual("in the end");
    // What was held back may only now be believed.
    await this.#pass(35_000);
    await this.#becomeEqual("after the end");
  }

  async #becomeEqual(when: string): Promise<void> {
    let difference: string | undefined;
    await this.#until(() => {
      difference = this.#difference();
      return difference === undefined;
    });
    if (difference !== undefined) throw new Violation(`6: ${when} ${difference}`);
  }

  #violated(why: string): void {
    this.crashed(new Violation(why));
  }

  #step(): void | Promise<void> {
    const node = this.#random.oneOf(this.#nodes);
    return this.#acts[this.#mix.draw(this.#random, this.#controlPlane?.isHolding === true)](node);
  }

  #change(): void {
    const changes = this.#cluster.change();
    this.#say(
      `change: ${changes.map((change) => (change.op === "put" ? change.record.name : `-${change.name}`)).join(" ")}`,
    );
    this.#controlPlane?.watched(changes);
  }

  // A storm of repairs: whoever held different things by then is compared with others at the same time.
  #spoilAll(): void {
    this.#say("the stores of all nodes are spoilt");
    this.counts.add("all stores spoilt");
    for (const node of this.#nodes) node.corrupt(this.#random);
  }

  // The API server answers with little, and with all of it later.
  #loseSource(): void {
    this.#say("the source lacks most services");
    this.#controlPlane?.relist(this.#cluster.remains());
    if (this.#controlPlane?.fleet.heldRemoval !== undefined) this.counts.add("removal held at the source");
    this.#findAgain();
  }

  #findAgain(): void {
    this.#time.after(this.#random.integer(1_000, 60_000), () => {
      this.#say("the source has everything again");
      this.#controlPlane?.relist(this.#cluster.records());
    });
  }

  #endWorker(): void {
    if (this.#controlPlane?.endWorker() !== true) return;
    this.#say("a worker ends");
    this.counts.add("worker ended");
  }

  async #restartControlPlane(): Promise<void> {
    const random = this.#random;
    const before = this.#controlPlane;
    if (random.isTrue(0.3)) {
      this.#say("the control plane is asked to stop");
      this.counts.add("control plane drained");
      before?.stop();
      await this.#pass(random.integer(1, 6_000));
    }
    this.#say("the control plane is killed");
    this.counts.add("control plane killed");
    before?.kill();
    for (const node of this.#nodes) node.link?.break();
    this.#controlPlane = undefined;
    if (random.isTrue(0.15)) {
      this.#skewMs -= random.integer(1_000, 100_000);
      this.counts.add("clock went back");
    }
    await this.#pass(random.delayMs(10_000));
    // What changed meanwhile, it learns from the source.
    for (let i = random.isTrue(0.5) ? 0 : random.integer(1, 5); i > 0; i--) this.#cluster.change();
    await this.#startControlPlane(true);
  }

  async #startControlPlane(isLossyPossible = false): Promise<void> {
    const random = this.#random;
    const startedMs = Date.now() + this.#skewMs;
    this.#say(`a control plane starts, by its clock at ${startedMs}`);
    const { committed } = this.#guarded({
      committed: (cursor: string, root: bigint, puts: readonly ResourceId[]) => {
        this.#say(`committed ${cursor}`);
        this.#invariants.committed(cursor, root, puts);
      },
    });
    const wrong =
      isLossyPossible && random.isTrue(0.2) ? random.oneOf(["lacks most services", "is another cluster"]) : "";
    if (wrong !== "") this.#say(`its source ${wrong}`);
    // Where nodes may be held they have more to tell each other.
    const workers = random.isTrue(wrong === "" ? 0.15 : 0.5) ? random.integer(2, 3) : 1;
    if (workers > 1) this.#say(`it has ${workers} workers`);
    const syncedAfterMs = random.delayMs(5_000);
    const account = new RemovalAccount(massRemoval, () => this.#time.nowMs);
    this.#removals.started(account);
    const controlPlane = await SimulatedControlPlane.start({
      startedMs,
      random32: random.integer(1, 2 ** 32 - 1),
      limits: drawLimits(random),
      massRemoval,
      records: () => {
        if (wrong === "") return this.#cluster.records();
        return wrong === "is another cluster" ? this.#cluster.others() : this.#cluster.remains();
      },
      syncedAfterMs,
      account: this.#guarded(account),
      workers: workers === 1 ? undefined : new SimulatedWorkers(workers, this.#time, random),
      committed,
      held: (by) => {
        this.counts.add("removal held at a stream");
        this.#confirmations.held(by);
      },
      violated: (why) => this.#violated(why),
      isSpoilt: (name) => this.#nodes.some((node) => node.name === name && node.wasSpoilt),
    });
    this.#controlPlane = controlPlane;
    const lastedMs = syncedAfterMs + massRemoval.holdMs + toldMs;
    this.#time.after(lastedMs, () => this.#confirmations.lasted(controlPlane));
    if (wrong !== "") this.#findAgain();
  }

  #waitForHead(): void {
    const controlPlane = this.#controlPlane;
    if (controlPlane?.isFollowing !== true || controlPlane.cursor.revision === 0) return;
    const { cursor } = controlPlane;
    this.#wait({ kind: "revision", ...cursor }, `wait for ${printCursor(cursor)}`, () =>
      this.#invariants.done(cursor, this.#nodes),
    );
  }

  #drain(): void {
    const endpoint = this.#cluster.endpoint();
    if (endpoint === undefined || this.#controlPlane?.isFollowing !== true) return;
    const { address, port } = endpoint;
    this.#controlPlane.watched(this.#cluster.drain(address));
    this.#wait({ kind: "drained", backends: [endpoint] }, `drain ${address}:${port}`, () =>
      this.#invariants.drained(address, port, this.#nodes),
    );
  }

  #wait(
    target: Parameters<SimulatedControlPlane["fleet"]["wait"]>[0]["target"],
    what: string,
    check: () => void,
  ): void {
    const { fleet } = this.#controlPlane ?? {};
    this.#say(what);
    const ended = this.#guarded({
      ended: ({ outcome }: { readonly outcome: string }) => {
        this.#say(`${what}: ${outcome}`);
        this.counts.add(outcome === "done" ? "wait done" : "wait not done");
        if (outcome === "done") check();
      },
    });
    const deadlineMs = Date.now() + this.#random.integer(100, 60_000);
    fleet?.wait({ target, quorum: everyNode, deadlineMs, listener: { noted: () => undefined, ...ended } }, Date.now());
  }

  #difference(): string | undefined {
    return differenceOf(this.#controlPlane, this.#cluster.services(), this.#nodes);
  }

  async #until(isReached: () => boolean): Promise<void> {
    const untilMs = this.#time.nowMs + quietMs;
    while (!isReached() && this.#time.nowMs < untilMs) await this.#pass(500);
  }

  async #pass(ms: number): Promise<void> {
    await this.#time.run(this.#time.nowMs + ms, () => this.#violation !== undefined);
    if (this.#violation !== undefined) throw this.#violation;
  }

  // A violation seen within a program must end the run, not be taken for a fault of the program.
  #guarded<T extends object>(of: T): T {
    return new Proxy(of, {
      get: (target, name) => {
        const found: unknown = Reflect.get(target, name);
        if (typeof found !== "function") return found;
        return (...given: unknown[]): unknown => {
          try {
            return Reflect.apply(found, target, given);
          } catch (error) {
            this.#violation ??= error instanceof Error ? error : new Error(String(error));
            return undefined;
          }
        };
      },
    });
  }
}
