/** What befalls a node, its agent and its connection, and when it ends. */
import type { Counts } from "./counts.ts";
import type { SimulatedNode } from "./node.ts";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

export class NodeFaults {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #say: (line: string) => void;
  readonly #counts: Counts;

  constructor(time: VirtualTime, random: Random, say: (line: string) => void, counts: Counts) {
    this.#time = time;
    this.#random = random;
    this.#say = say;
    this.#counts = counts;
  }

  break(node: SimulatedNode): void {
    if (node.link === undefined) return;
    this.#say(`the connection of ${node.name} breaks`);
    this.#counts.add("connection broken");
    node.link.break();
  }

  freeze(node: SimulatedNode): void {
    const { link } = node;
    if (link === undefined) return;
    const ms = this.#random.integer(100, 60_000);
    this.#say(`nothing passes between ${node.name} and the control plane for ${ms} ms`);
    this.#counts.add("half-open");
    link.freeze();
    this.#time.after(ms, () => link.thaw());
  }

  kill(node: SimulatedNode): void {
    this.#say(`the agent of ${node.name} is killed`);
    this.#counts.add("agent killed");
    node.kill();
    this.#time.after(this.#random.delayMs(20_000), () => node.start());
  }

  powerFail(node: SimulatedNode): void {
    this.#say(`${node.name} loses power`);
    this.#counts.add("power failure");
    node.powerFail();
    this.#time.after(this.#random.delayMs(20_000), () => node.start());
  }

  replace(node: SimulatedNode): void {
    this.#say(`${node.name} is another machine now`);
    this.#counts.add("node replaced");
    node.replace(BigInt(this.#random.integer(1_000, 1_000_000)));
    this.#time.after(this.#random.delayMs(20_000), () => node.start());
  }

  corrupt(node: SimulatedNode): void {
    if (!node.isRunning) return;
    this.#say(`the store of ${node.name} is spoilt`);
    this.#counts.add("store spoilt");
    node.corrupt(this.#random);
  }

  // Of what it is to hold it finds less than its kernel does.
  loseFile(node: SimulatedNode): void {
    if (!node.isRunning) return;
    this.#say(`${node.name} loses its state on disk, and its agent is killed`);
    this.#counts.add("state file lost");
    node.kill();
    node.disk.lost();
    this.#time.after(this.#random.delayMs(20_000), () => node.start());
  }

  slow(node: SimulatedNode): void {
    const { link, kernel } = node;
    const ms = this.#random.integer(100, 40_000);
    this.#say(`${node.name} and its connection are slow for ${ms} ms`);
    this.#counts.add("laggard");
    kernel.isSlow = true;
    link?.slow(true);
    this.#time.after(ms, () => {
      kernel.isSlow = false;
      link?.slow(false);
    });
  }

  fillDisk(node: SimulatedNode): void {
    this.#say(`the disk of ${node.name} is full`);
    this.#counts.add("disk full");
    node.disk.isFull = true;
    this.#time.after(this.#random.integer(100, 50_000), () => {
      node.disk.isFull = false;
    });
  }
}
