/** An agent's dataplane in a process of its own, to be killed: writes revision after revision. Test support. */
import { KernelDataplane } from "../kernel-dataplane.ts";
import type { ServicePlan } from "../../dataplane.ts";
import { bothProtocols, clusterIp, goneService, ignore, roundOf } from "./plans.ts";

/** What is live at a revision: three services of which every backend names the revision; one comes and goes. */
export function plansAt(revision: number): ServicePlan[] {
  const part = `10.${(revision >> 16) & 255}.${(revision >> 8) & 255}.${revision & 255}`;
  const steady = ["172.30.0.1", "172.30.0.2"].map((ip, i) =>
    bothProtocols(clusterIp(`a/s${i}`, ip, [`${part}:80`, `${part}:81`])),
  );
  return revision % 3 === 0
    ? [...steady, clusterIp("a/rare", "fd00::9", [`[fd00:1::${revision.toString(16)}]:80`])]
    : steady;
}

const [bpffs, cgroup] = process.argv.slice(2);
if (bpffs !== undefined && cgroup !== undefined) {
  const dataplane = new KernelDataplane({ bpffs, cgroup, limits: { frontends: 64, backends: 64, services: 16 } });
  const { cursor } = await dataplane.open();
  const first = (cursor?.revision ?? 0) + 1;
  for (let revision = first; ; revision++) {
    const plans = plansAt(revision);
    const round = roundOf(revision, revision % 3 === 0 ? plans : [...plans, goneService("a/rare")]);
    await dataplane.apply(round, ignore);
    // Whoever is told so and kills it finds at least this one.
    if (revision === first) process.stdout.write(`applied ${revision}\n`);
    if (revision % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}
