import assert from "node:assert/strict";
import { it } from "node:test";
import { parseAddress, type Address } from "@weft/proto/address.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Frontend } from "../../plan/frontend.ts";
import { planLines } from "../../plan/plan-line.ts";
import { Targets } from "../../plan/targets.ts";
import { describeDataplane } from "../conformance.ts";
import type { Round, ServicePlan } from "../dataplane.ts";
import { MemoryDataplane } from "../memory/memory-dataplane.ts";
import { FaultyDataplane } from "./faulty-dataplane.ts";

const noFaults = { seed: 1, stageFailures: 0, roundFailures: 0, delayMsMax: 0 };

describeDataplane({
  name: "faulty without faults",
  create: (max) => new FaultyDataplane(new MemoryDataplane(max), { ...noFaults, delayMsMax: 1 }),
  serves: () => true,
});

it("does the same twice with one seed, and something else with another", async () => {
  const log = async (seed: number): Promise<string[]> => {
    const dataplane = new FaultyDataplane(new MemoryDataplane(), {
      seed,
      stageFailures: 0.3,
      roundFailures: 0.1,
      delayMsMax: 0,
    });
    const lines: string[] = [];
    for (let at = 1; at <= 50; at++) {
      const outcome = await dataplane
        .apply(round([plan(`a/${at % 5}`, at)]), () => undefined)
        .then(
          ({ failures }) => failures.map(({ service, reason }) => `${service} ${reason}`).join("; "),
          (error: Error) => error.message,
        );
      lines.push(outcome, ...planLines(dataplane.dump()));
    }
    return lines;
  };
  assert.deepEqual(await log(7), await log(7));
  assert.notDeepEqual(await log(7), await log(8));
});

it("never serves a backend that left, and holds the whole plan once it is healed", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const dataplane = new FaultyDataplane(new MemoryDataplane(), {
      seed,
      stageFailures: 0.5,
      roundFailures: 0.2,
      delayMsMax: 0,
    });
    const wanted = new Map<string, ServicePlan>();
    for (let at = 1; at <= 30; at++) {
      const next = plan(`a/${(seed * at) % 4}`, at);
      let isActive = false;
      while (!isActive)
        isActive = await dataplane
          .apply(round([next]), () => undefined)
          .then(
            () => true,
            () => false,
          );
      wanted.set(next.service, next);
      for (const { servicePort, targets } of dataplane.dump()) {
        const eligible = wanted.get(servicePort)?.frontends[0]?.targets ?? Targets.none;
        for (const target of targets)
          assert.ok(
            [...eligible].some(({ address: other }) => other === target.address),
            `seed ${seed}`,
          );
      }
    }
    dataplane.heal();
    const { failures } = await dataplane.apply(round([]), () => undefined);
    assert.deepEqual(failures, []);
    assert.deepEqual(
      planLines(dataplane.dump()),
      planLines([...wanted.values()].flatMap(({ frontends }) => frontends)),
    );
  }
});

function round(services: readonly ServicePlan[]): Round {
  return { cursor: { epoch: epoch(1, 1), revision: revision(1) }, services, serviceCidrs: undefined };
}

// Three of the backends 10.0.0.0 to 10.0.0.9, other ones at each time.
function plan(service: string, at: number): ServicePlan {
  const targets = [at % 3, 3 + (at % 3), 6 + (at % 4)].map((i) => ({ address: address(`10.0.0.${i}`), port: 80 }));
  const frontend: Frontend = {
    address: address(`172.30.0.${service.slice(2)}`),
    port: 80,
    protocol: "TCP",
    scope: "internal",
    kind: "ClusterIP",
    servicePort: service,
    action: "forward",
    targets: Targets.of(targets),
    affinitySeconds: 0,
    sourceRanges: undefined,
  };
  return { service, frontends: [frontend], rejectAddresses: [], passAddresses: [] };
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}
