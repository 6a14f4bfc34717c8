/**
 * Two services that change together, and clients that would see it if they did not. Each service has one endpoint, a pod that
 * listens on many ports, and the port is the generation: both services get the next one in the same file, so in one revision.
 */
import assert from "node:assert/strict";
import { serviceAddresses } from "../lab/address-plan.ts";
import type { ClientTarget } from "../lab/client-messages.ts";
import type { EndpointSpec } from "../lab/cluster-manifests.ts";
import type { Lab } from "../lab/lab.ts";
import type { TrafficClient } from "../lab/traffic.ts";

const firstPort = 9_000;
export const generationsMax = 400;
/** What the pods of generations listen on. */
export const generationPorts = `${firstPort}-${firstPort + generationsMax - 1}`;

const file = "generations.yaml";
const services = [
  { name: "first", host: 21, pod: "gen-a", externalIp: "198.51.100.21", nodePort: 30_021 },
  { name: "second", host: 22, pod: "gen-b", externalIp: "198.51.100.22", nodePort: 30_022 },
] as const;

const targetsOf = services.map(({ name, host, externalIp }): readonly ClientTarget[] => {
  const { v4, v6 } = serviceAddresses(host);
  const target = (kind: string, transport: ClientTarget["transport"], address: string): ClientTarget => ({
    name: `${name} ${kind}`,
    transport,
    address,
    port: 80,
    isOrdered: true,
  });
  return [
    target("tcp4", "tcp", v4),
    target("tcp6", "tcp", v6),
    target("udp4", "udp", v4),
    target("udp6", "udp", v6),
    target("connected udp4", "udp-connected", v4),
    target("mapped tcp4", "tcp", `::ffff:${v4}`),
    target("external ip", "tcp", externalIp),
  ];
});

/** The services in turn: an answer of a newer generation by one must not be followed by an older one of the other. */
export const generationTargets: readonly ClientTarget[] = (targetsOf[0] ?? []).flatMap((_, i) =>
  targetsOf.flatMap((targets) => targets.slice(i, i + 1)),
);

export class Generations {
  readonly #lab: Lab;
  #generation = 0;
  #settled = 0;
  /** Moments at which no node could choose anything older than the generation. */
  readonly #settledAt: { readonly port: number; readonly ms: number }[] = [];

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  get port(): number {
    return firstPort + this.#generation;
  }

  /** Both services get the next generation, in one edit. */
  next(): void {
    this.#generation++;
    assert.ok(this.#generation < generationsMax, "the pods have no more ports");
    this.write();
  }

  write(): void {
    this.#lab.manifests.writeServices(
      file,
      services.map(({ name, host, pod, externalIp, nodePort }) => {
        const { v4, v6 } = serviceAddresses(host);
        const { node, addresses } = this.#lab.pod(pod);
        const endpoint: EndpointSpec = { pod, node: `node-${node}`, addresses };
        return {
          namespace: "default",
          name,
          clusterIps: [v4, v6],
          externalIps: [externalIp],
          ports: (["TCP", "UDP"] as const).map((protocol) => ({
            name: protocol.toLowerCase(),
            protocol,
            port: 80,
            targetPort: this.port,
            nodePort,
          })),
          endpoints: [endpoint],
        };
      }),
    );
  }

  /** Resolves when `weft wait --drained` says that nothing older can be chosen. */
  async settle(): Promise<void> {
    const older = [];
    for (let generation = this.#settled; generation < this.#generation; generation++) {
      for (const { pod } of services) older.push(`${this.#lab.pod(pod).addresses.v4}:${firstPort + generation}`);
    }
    if (older.length === 0) return;
    const result = await this.#lab.weft(["wait", "--drained", ...older, "--timeout", "20s"]);
    assert.equal(result.code, 0, `${result.line}: ${result.stdout}${result.stderrTail}`);
    this.#settled = this.#generation;
    this.#settledAt.push({ port: this.port, ms: Date.now() });
  }

  /** What a client saw that it must not have seen. */
  wrongAnswers(client: TrafficClient): readonly string[] {
    const wrong = [...client.total.regressions];
    for (const { name: target } of generationTargets) {
      const answers = client.total.answers.get(target);
      assert.ok(answers !== undefined, `${target}: nobody answered`);
      for (const [backend, { lastMs }] of answers) {
        const port = Number(backend.split(" ")[1]);
        const late = this.#settledAt.find((settled) => port < settled.port && lastMs > settled.ms);
        if (late !== undefined)
          wrong.push(`${target}: ${backend} answered ${lastMs - late.ms} ms after ${late.port} was settled`);
      }
    }
    return wrong;
  }
}
