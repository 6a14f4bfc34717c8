/** Plans for tests. */
import assert from "node:assert/strict";
import { parseAddress, parseSocketAddress, type Address } from "@weft/proto/address.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Frontend } from "../../../plan/frontend.ts";
import { Targets } from "../../../plan/targets.ts";
import type { Round, ServicePlan } from "../../dataplane.ts";

const testEpoch = epoch(1_763_881_972_000, 7);

export function addressOf(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

/** A service of one ClusterIP whose port 80 leads to `targets` ("ip:port"). */
export function clusterIp(
  name: string,
  ip: string,
  targets: readonly string[],
  fields: Partial<Frontend> = {},
): ServicePlan {
  const address = addressOf(ip);
  const frontend: Frontend = {
    address,
    port: 80,
    protocol: "TCP",
    scope: "internal",
    kind: "ClusterIP",
    servicePort: `${name}:http`,
    action: targets.length > 0 ? "forward" : "reject",
    targets: Targets.of(
      targets.map((text) => {
        const parsed = parseSocketAddress(text);
        assert.ok(parsed !== undefined, text);
        return parsed;
      }),
    ),
    affinitySeconds: 0,
    sourceRanges: undefined,
    ...fields,
  };
  return { service: name, frontends: [frontend], rejectAddresses: [address], passAddresses: [] };
}

/** The same for UDP beside TCP: both share the targets. */
export function bothProtocols(plan: ServicePlan): ServicePlan {
  const frontends = plan.frontends.flatMap((of) => [
    of,
    { ...of, protocol: "UDP" as const, servicePort: `${plan.service}:udp` },
  ]);
  return { ...plan, frontends };
}

export function goneService(service: string): ServicePlan {
  return { service, frontends: [], rejectAddresses: [], passAddresses: [] };
}

export function roundOf(at: number, services: readonly ServicePlan[], fields: Partial<Round> = {}): Round {
  return { cursor: { epoch: testEpoch, revision: revision(at) }, services, serviceCidrs: undefined, ...fields };
}

export const ignore = (): void => undefined;
