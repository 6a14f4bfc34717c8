import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { dumpPinned } from "../dataplane/kernel/dump-pinned.ts";
import { KernelDataplane } from "../dataplane/kernel/kernel-dataplane.ts";
import { kernelTestsSkipped, makeKernelLab } from "../dataplane/kernel/testing/kernel-lab.ts";
import { planLines } from "../plan/plan-line.ts";
import { encodedBackend, encodedService } from "../sync/described-resources.ts";
import { Store } from "../sync/store.ts";
import { delta, fakeEpoch, snapshot } from "./fake-control-plane.ts";
import { AgentLab } from "./test-agents.ts";
import { lose, Plane } from "./test-plane.ts";

const web = encodedService({ name: "ns/web", clusterIps: ["203.0.113.1"] });
const [web1, web2] = ["10.1.0.1", "10.1.0.2"].map((address) => encodedBackend({ service: "ns/web", address }));
const db = encodedService({ name: "ns/db", clusterIps: ["203.0.113.2"] });
const db1 = encodedBackend({ service: "ns/db", address: "10.1.1.1" });

describe("what the kernel serves and is not the plan of what is held", { skip: kernelTestsSkipped() }, () => {
  it("is as planned in the pinned maps after an audit", async () => {
    assert.ok(web1 !== undefined && web2 !== undefined);
    using kernel = makeKernelLab();
    const place = kernel.place();
    await using dataplane = new KernelDataplane({
      ...place,
      limits: { frontends: 256, backends: 1_024, services: 64 },
    });
    await using lab = await AgentLab.start();
    const store = new Store();
    const agent = await lab.agent({ store, dataplane, dataplaneKind: "kernel", auditIntervalMs: 50 });
    const stream = await lab.plane.stream();
    await stream.greet();
    const plane = new Plane(stream);
    // What `weft-agent dump` prints.
    const pinned = (): string =>
      planLines(dumpPinned(place.bpffs))
        .map((line) => JSON.parse(line) as { address: string; port: number; backends: readonly string[] })
        .map(({ address, port, backends }) => `${address} ${port} ${backends.join()}`)
        .join("; ");
    const whole = "203.0.113.1 80 10.1.0.1:8080,10.1.0.2:8080; 203.0.113.2 80 10.1.1.1:8080";
    await plane.sends(snapshot(5, [web, web1, web2, db, db1]), 5);
    assert.equal(pinned(), whole);

    lose(store, web2, db, db1);
    await plane.sends(delta(5, 6, [], [web2, db, db1]), 6);
    assert.equal(pinned(), whole, "nobody was told");
    const right = [web, web1];
    await plane.beatsUntil(6, right, () => pinned() === "203.0.113.1 80 10.1.0.1:8080");
    assert.equal(lab.count('weft_agent_audit_findings_total{map="plan",kind="differs"}'), 1);
    assert.ok(lab.log.some((line) => /applied, not planned: 10\.1\.0\.2:8080;.*203\.0\.113\.1 80 TCP/.test(line)));

    const [first] = dataplane.dump();
    assert.ok(first !== undefined);
    const cursor = { epoch: epoch(Number(fakeEpoch.createdMs), fakeEpoch.random), revision: revision(6) };
    const spoilt = { service: "ns/web", frontends: [{ ...first, port: 81 }], rejectAddresses: [], passAddresses: [] };
    await dataplane.apply({ cursor, services: [spoilt], serviceCidrs: undefined }, () => undefined);
    assert.equal(pinned(), "203.0.113.1 81 10.1.0.1:8080");
    await plane.beatsUntil(6, right, () => pinned() === "203.0.113.1 80 10.1.0.1:8080");

    const passes = lab.count("weft_agent_audit_passes_total");
    const found = lab.count('weft_agent_audit_findings_total{map="plan",kind="missing"}');
    await plane.beatsUntil(6, right, () => lab.count("weft_agent_audit_passes_total") >= passes + 2);
    assert.equal(lab.count('weft_agent_audit_findings_total{map="plan",kind="missing"}'), found);
    assert.equal(lab.count("weft_agent_audit_errors_total"), 0);
    await agent.stop();
  });
});
