/** Metrics of the audit. docs/metrics.md describes each. */
import type { AuditFinding } from "../dataplane/dataplane.ts";
import type { Counter, Labelled, Metrics } from "@weft/proto/program/metrics.ts";

const all = ["missing", "surplus", "differs"] as const;
const differs = ["differs"] as const;

/** What can be found. There from the start: an alert on the increase of a series that begins at 1 would miss its first. */
const findable: Readonly<Record<string, readonly AuditFinding["kind"][]>> = {
  frontends: all,
  addresses: all,
  cidrs: all,
  ranges: ["missing", "surplus"],
  states: differs,
  descriptors: differs,
  backends: differs,
  names: differs,
  node_ports: differs,
  active: differs,
  settings: differs,
  links: ["missing"],
  pins: ["missing"],
  plan: all,
};

export class AuditMetrics {
  readonly findings: Labelled<Counter>;
  readonly failures: Counter;
  readonly storeMismatches: Counter;
  readonly errors: Counter;
  readonly #passes: Counter;
  #seconds = 0;

  constructor(metrics: Metrics) {
    this.findings = metrics.counterWith(
      {
        name: "weft_agent_audit_findings_total",
        help: "Entries of kernel maps that were not as written, and as map plan frontends not as planned, by map and kind.",
      },
      ["map", "kind"],
    );
    for (const [map, kinds] of Object.entries(findable)) for (const kind of kinds) this.findings.with(map, kind);
    this.failures = metrics.counter({
      name: "weft_agent_audit_repair_failures_total",
      help: "Those of them that could not be repaired; each is tried again.",
    });
    this.storeMismatches = metrics.counter({
      name: "weft_agent_audit_store_mismatches_total",
      help: "Buckets of what is held whose digest was not that of their bytes.",
    });
    this.errors = metrics.counter({
      name: "weft_agent_audit_errors_total",
      help: "Passes that ended early because a map could not be read, and services that could not be planned.",
    });
    this.#passes = metrics.counter({
      name: "weft_agent_audit_passes_total",
      help: "Times that everything was looked at.",
    });
    metrics.observed(
      "gauge",
      { name: "weft_agent_audit_pass_seconds", help: "Duration of the last whole pass, seconds; 0 before." },
      () => this.#seconds,
    );
  }

  passDone(seconds: number): void {
    this.#passes.inc();
    this.#seconds = seconds;
  }
}
