/** Clients of scenarios on a kernel lab, started when first needed: two processes in each place, so that what is kept by place shows. */
import assert from "node:assert/strict";
import type { ClientTarget } from "../lab/client-messages.ts";
import type { Lab } from "../lab/lab.ts";
import type { TrafficClient } from "../lab/traffic.ts";
import type { BindAttempt, Connection, Opening, SocketTarget, Use } from "./scenario-lines.ts";
import type { Place } from "./scenario.ts";

/** So many for each expected backend: one of four that is never chosen is noticed but for 1 in 10 million runs. */
const attemptsPerOutcome = 30;
/** A refusal that takes longer is not "at once". */
const answerLimitMs = 1_000;
/** Longer than any answer in the lab takes, where silence is expected. */
const silenceMs = 500;
const silentAttempts = 3;
const usesOfOne = 5;
const processesPerPlace = 2;

interface HeldName {
  readonly client: TrafficClient;
  readonly id: number;
  readonly transport: SocketTarget["transport"];
  /** What answered first. */
  readonly outcome: string;
}

export class ScenarioClients {
  readonly #lab: Lab;
  readonly #clients = new Map<string, Promise<readonly TrafficClient[]>>();
  readonly #held = new Map<string, HeldName>();

  /** Makes the pods in which clients run; all of them, so that they have the same addresses in every run. */
  constructor(lab: Lab) {
    this.#lab = lab;
    lab.makePods(
      lab.nodes.flatMap(({ number: node }) => [
        { name: podOf(node, "pod"), node },
        { name: podOf(node, "other-pod"), node },
      ]),
    );
  }

  async connect(node: number, place: Place, connection: Connection, step: string): Promise<void> {
    const clients = await this.#clientsOf(node, place);
    const seen = new Set((await outcomesOf(clients, connection)).map(readable));
    const { transport, address, port, source, outcomes } = connection;
    const from = `${place} of node-${node}${source === undefined ? "" : ` bound to ${source}`}`;
    assert.deepEqual([...seen].toSorted(), outcomes, `${step}: ${transport} ${address} port ${port} from ${from}`);
  }

  async open(node: number, place: Place, opening: Opening, step: string): Promise<void> {
    const [client] = await this.#clientsOf(node, place);
    assert.ok(client !== undefined);
    const held = await client.hold(targetOf(opening), answerLimitMs);
    const outcome = readable(held.outcome);
    assert.equal(outcome, opening.outcome, `${step}: ${opening.name} opened from ${place} of node-${node}`);
    this.#held.set(opening.name, { client, id: held.id, transport: opening.transport, outcome });
  }

  async use({ name, outcome }: Use, step: string): Promise<void> {
    const held = this.#held.get(name);
    assert.ok(held !== undefined, `${step}: ${name} was not opened`);
    for (let i = 0; i < usesOfOne; i++) {
      const heard = readable(await held.client.use(held.id, outcome === "timeout" ? silenceMs : answerLimitMs));
      // An established connection stays with whom it was opened to: an echo says that it is alive.
      const seen: string = held.transport === "tcp" && heard === "still there?" ? held.outcome : heard;
      assert.equal(seen, outcome, `${step}: ${name} used again`);
    }
  }

  async bind(node: number, place: Place, attempt: BindAttempt, step: string): Promise<void> {
    const { protocol, address, port, outcome } = attempt;
    const [client] = await this.#clientsOf(node, place);
    const seen = readable((await client?.bind(protocol, address, port)) ?? "");
    assert.equal(
      seen,
      outcome,
      `${step}: listening on ${protocol} ${address} port ${port} in ${place} of node-${node}`,
    );
  }

  /** Closes what `open` opened. */
  async release(): Promise<void> {
    this.#held.clear();
    for (const clients of this.#clients.values()) for (const client of await clients) client.release();
  }

  async #clientsOf(node: number, place: Place): Promise<readonly TrafficClient[]> {
    const name = podOf(node, place);
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const start = (): Promise<TrafficClient> =>
      place === "host" ? this.#lab.startHostClient(node) : this.#lab.startClientIn(name);
    const clients = Promise.all(Array.from({ length: processesPerPlace }, start));
    this.#clients.set(name, clients);
    return clients;
  }
}

async function outcomesOf(clients: readonly TrafficClient[], connection: Connection): Promise<readonly string[]> {
  const { port, lastPort, outcomes } = connection;
  const target = targetOf(connection);
  if (outcomes[0] === "timeout") {
    const attempts = clients.flatMap((client) =>
      Array.from({ length: silentAttempts }, () => client.probe(target, 1, silenceMs)),
    );
    return (await Promise.all(attempts)).flat();
  }
  const ports = Array.from({ length: lastPort - port + 1 }, (_, i) => port + i);
  const attempts = ports.length > 1 ? 1 : Math.ceil((attemptsPerOutcome * outcomes.length) / clients.length);
  const seen: string[] = [];
  // One process after the other: what the first one met has to hold for the second.
  for (const client of clients) {
    const answers = ports.map(async (of) => client.probe({ ...target, port: of }, attempts, answerLimitMs));
    seen.push(...(await Promise.all(answers)).flat());
  }
  return seen;
}

function targetOf({ transport, address, port, source }: SocketTarget): ClientTarget {
  return { name: "scenario", transport, address, port, source };
}

function podOf(node: number, place: Place): string {
  return `${place === "pod" ? "client" : place}-${node}`;
}

// "a1 8080" becomes "a1:8080", "!EPERM" becomes "EPERM".
function readable(outcome: string): string {
  return outcome.replace(/^!/, "").replace(/^(\S+) (\d+)$/, "$1:$2");
}
