import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mergeFailures } from "./failures.ts";

describe("the list of failures", () => {
  it("puts those that hold a wait first, whatever their service is called", () => {
    const list = mergeFailures({
      notices: [
        { service: "a/conflict", category: "conflict", reason: "1" },
        { service: "a/conflict", category: "conflict", reason: "2" },
        { service: "a/sctp", category: "unsupported", reason: "SCTP" },
      ],
      health: [{ service: "a/conflict", category: "conflict", reason: "3: a health check node port" }],
      dataplane: [
        { service: "z/full", category: "capacity", reason: "full" },
        { service: "y/refused", category: "kernel", reason: "E2BIG" },
      ],
      activation: undefined,
      held: { services: 20, ofServices: 30 },
    });
    assert.deepEqual(
      list.map(({ service, category }) => `${category} ${service}`),
      [
        "mass_removal_held ",
        "kernel y/refused",
        "capacity z/full",
        "unsupported a/sctp",
        "conflict a/conflict",
        "conflict a/conflict",
        "conflict a/conflict",
      ],
    );
    assert.match(list[0]?.reason ?? "", /20 of the 30 services.*confirm/);
  });

  it("names what plan and dataplane both cannot do once", () => {
    const list = mergeFailures({
      notices: [{ service: "ns/sctp", category: "unsupported", reason: "by the plan" }],
      health: [],
      dataplane: [{ service: "ns/sctp", category: "unsupported", reason: "by the kernel" }],
      activation: "nothing can be activated: EIO",
      held: undefined,
    });
    assert.deepEqual(
      list.map(({ service, category }) => [service, category]),
      [
        ["", "kernel"],
        ["ns/sctp", "unsupported"],
      ],
    );
  });
});
