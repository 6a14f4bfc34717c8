/**
 * Which way imports flow, and which files do I/O (DESIGN section 3): `main -> shells -> pure`. A file that owns I/O, a clock or
 * randomness stands in `shells` with what it owns; everything else in a workspace is pure: no value of a `node:` module, no npm
 * package but protobuf-es, no clock, no randomness, no shell imported. scripts/tidy.test.ts enforces it.
 */

/** Workspaces that each may import. `cli` uses only the pure files of the two programs. */
export const workspaceImports: Readonly<Record<string, readonly string[]>> = {
  proto: [],
  controlplane: ["proto"],
  nodeagent: ["proto"],
  cli: ["proto", "controlplane", "nodeagent"],
  integration: ["proto", "controlplane", "nodeagent", "cli"],
  scripts: [],
};

/** Whole folders of I/O: programs about other programs. */
export const shellFolders: readonly string[] = ["integration/", "scripts/"];

/** Packages that only shells which name them may import. */
export const ownedPackages: readonly string[] = [
  "@grpc/grpc-js",
  "@kubernetes/client-node",
  "@opentelemetry/api",
  "@opentelemetry/core",
  "@opentelemetry/exporter-trace-otlp-proto",
  "@opentelemetry/resources",
  "@opentelemetry/sdk-trace",
  "koffi",
  "undici",
  "yaml",
];

/** File -> what it owns. A package of `ownedPackages` must be named here by the files that import it. */
export const shells: Readonly<Record<string, readonly string[]>> = {
  "proto/ids.ts": ["node:crypto, 1.3 us an id"],
  "proto/grpc/listener.ts": ["@grpc/grpc-js", "listening sockets"],
  "proto/program/clock.ts": ["clock of times and durations"],
  "proto/program/compact-heap.ts": ["the heap"],
  "proto/program/credentials.ts": ["@grpc/grpc-js"],
  "proto/program/event-loop-delay.ts": ["the event loop", "clock of durations"],
  "proto/program/http.ts": ["HTTP sockets"],
  "proto/program/log.ts": ["stderr", "clock of log lines"],
  "proto/program/main.ts": ["the process: signals, exit code"],
  "proto/program/make-folder.ts": ["folders"],
  "proto/program/process-metrics.ts": ["the process: memory, CPU"],
  "proto/program/stdout.ts": ["stdout"],
  "proto/program/tls-files.ts": ["certificate files"],
  "proto/program/version.ts": ["package.json"],
  "proto/telemetry/open-tracing.ts": ["what exports traces"],
  "proto/telemetry/otlp-export.ts": [
    "@opentelemetry/api",
    "@opentelemetry/core",
    "@opentelemetry/exporter-trace-otlp-proto",
    "@opentelemetry/resources",
    "@opentelemetry/sdk-trace",
    "HTTP sockets",
    "timers",
  ],
  "proto/telemetry/trace-id.ts": ["node:crypto, 1.3 us an id"],

  "controlplane/main.ts": ["the process", "randomness of the epoch"],
  "controlplane/agent-port.ts": ["listening sockets"],
  "controlplane/heap-compaction.ts": ["timers", "the heap"],
  "controlplane/in-turns.ts": ["clock", "the event loop"],
  "controlplane/manifests-folder.ts": ["files"],
  "controlplane/open-source.ts": ["the source that was chosen"],
  "controlplane/mass-removal/removal-guard.ts": ["timers"],
  "controlplane/pipeline.ts": ["clock", "randomness of return times"],
  "controlplane/source/manifests/folder-watch.ts": ["file watches"],
  "controlplane/source/manifests/read-manifests.ts": ["files"],
  "controlplane/source/manifests/list-folder.ts": ["files"],
  "controlplane/source/manifests/manifests-source.ts": ["timers"],
  "controlplane/source/manifests/read-file.ts": ["files"],
  "controlplane/source/manifests/scan-bell.ts": ["timers"],
  "controlplane/source/manifests/elaborate-yaml.ts": ["yaml"],
  "controlplane/source/manifests/yaml-value.ts": ["yaml"],
  "controlplane/source/kubernetes/api-client.ts": ["undici", "timers"],
  "controlplane/source/kubernetes/change-batches.ts": ["the event loop: what was read in one turn"],
  "controlplane/source/kubernetes/kube-config-access.ts": ["@kubernetes/client-node", "yaml", "kubeconfig files"],
  "controlplane/source/kubernetes/kubernetes-source.ts": ["the reflectors"],
  "controlplane/source/kubernetes/quiet-timer.ts": ["timers"],
  "controlplane/source/kubernetes/reflector.ts": ["clock", "timers", "randomness of delays"],
  "controlplane/fanout/call-identity.ts": ["certificates of TLS sockets"],
  "controlplane/fanout/discovery-service.ts": ["@grpc/grpc-js"],
  "controlplane/fanout/drain.ts": ["timers"],
  "controlplane/fanout/digest-cuts.ts": ["the event loop: pacing"],
  "controlplane/fanout/each-paced.ts": ["the event loop: pacing"],
  "controlplane/fanout/transfers.ts": ["the event loop: digest cuts"],
  "controlplane/fanout/fanout.ts": ["timers"],
  "controlplane/fanout/grpc-server.ts": ["@grpc/grpc-js"],
  "controlplane/fanout/snapshot-queue.ts": ["the event loop: pacing"],
  "controlplane/fanout/sync-calls.ts": ["timers", "clock of what agents may say"],
  "controlplane/fleet/fleet-loop.ts": ["timers"],
  "controlplane/fleet/fleet-service.ts": ["@grpc/grpc-js", "clock"],
  "controlplane/fleet/status-feed.ts": ["clock", "timers"],
  "controlplane/trace/run-traces.ts": ["clock", "timers"],
  "controlplane/workers/check-free-port.ts": ["listening sockets"],
  "controlplane/workers/forwarded-calls.ts": ["@grpc/grpc-js"],
  "controlplane/workers/forwarding-service.ts": ["@grpc/grpc-js"],
  "controlplane/workers/open-workers.ts": ["worker threads"],
  "controlplane/workers/outbox.ts": ["the event loop: what was told in one turn"],
  "controlplane/workers/worker-fanout.ts": ["clock", "timers", "randomness of return times"],
  "controlplane/workers/worker-main.ts": ["a worker thread"],
  "controlplane/workers/worker-slot.ts": ["worker threads", "timers"],
  "controlplane/workers/worker-streams.ts": ["worker threads", "timers"],
  "controlplane/http2/front.ts": ["timers", "clock of connections"],
  "controlplane/http/routes.ts": ["the wait route"],
  "controlplane/http/wait-route.ts": ["clock"],

  "nodeagent/main.ts": ["the process"],
  "nodeagent/health/health-check-servers.ts": ["HTTP sockets", "timers"],
  "nodeagent/runtime/node-health.ts": ["clock"],
  "nodeagent/runtime/auditor.ts": ["timers", "clock of durations"],
  "nodeagent/runtime/agent.ts": ["clock", "timers", "names of the machine"],
  "nodeagent/runtime/discovery-stream.ts": ["@grpc/grpc-js"],
  "nodeagent/runtime/fetch-dump.ts": ["HTTP sockets"],
  "nodeagent/runtime/local-addresses.ts": ["devices of the machine"],
  "nodeagent/runtime/node-addresses.ts": ["interfaces of the machine"],
  "nodeagent/runtime/rounds.ts": ["timers"],
  "nodeagent/runtime/sync-loop.ts": ["clock", "timers"],
  "nodeagent/sync/state-file.ts": ["files"],
  "nodeagent/sync/state-folder.ts": ["files", "randomness of the instance"],
  "nodeagent/dataplane/faulty/faulty-dataplane.ts": ["timers"],
  "nodeagent/dataplane/memory/memory-dataplane.ts": ["clock of durations"],
  "nodeagent/dataplane/kernel/attach.ts": ["pins"],
  "nodeagent/dataplane/kernel/cgroup.ts": ["cgroup files"],
  "nodeagent/dataplane/kernel/cleanup-pinned.ts": ["pins"],
  "nodeagent/dataplane/kernel/dump-pinned.ts": ["pins"],
  "nodeagent/dataplane/kernel/earlier-maps.ts": ["pins"],
  "nodeagent/dataplane/kernel/kernel-dataplane.ts": ["pins", "timers", "clock of durations"],
  "nodeagent/dataplane/kernel/libbpf.ts": ["koffi", "the kernel"],
  "nodeagent/dataplane/kernel/load-programs.ts": ["bpf objects"],
  "nodeagent/dataplane/kernel/map-elements.ts": ["the kernel"],
  "nodeagent/dataplane/kernel/mapped-array.ts": ["the kernel"],
  "nodeagent/dataplane/kernel/pin-folder.ts": ["pins"],
  "nodeagent/dataplane/kernel/pinned-maps.ts": ["pins"],
  "nodeagent/dataplane/kernel/probe.ts": ["sockets", "cgroup files"],
  "nodeagent/dataplane/kernel/restored-pins.ts": ["pins"],
  "nodeagent/dataplane/kernel/round-applier.ts": ["clock of durations"],

  "cli/main.ts": ["the process"],
  "cli/explain.ts": ["stdout", "stdin and files of flows"],
  "cli/fleet-client.ts": ["@grpc/grpc-js", "clock of deadlines"],
  "cli/fleet-error.ts": ["@grpc/grpc-js"],
  "cli/get.ts": ["stdout"],
  "cli/plan.ts": ["stdout"],
  "cli/plan-from-controlplane.ts": ["the fleet client"],
  "cli/plan-from-manifests.ts": ["files"],
  "cli/read-plan-source.ts": ["the sources of a plan"],
  "cli/output.ts": ["stderr"],
  "cli/revisions.ts": ["timers"],
  "cli/status.ts": ["stdout"],
  "cli/trace.ts": ["stdout"],
  "cli/wait.ts": ["timers"],
  "cli/confirm-removal.ts": ["stdout"],
};

/** Shells with pure functions or flags that pure files use; their I/O begins only when a shell asks for it. */
export const usableByPure: ReadonlySet<string> = new Set([
  "cli/output.ts",
  "proto/ids.ts",
  "proto/telemetry/trace-id.ts",
  "proto/program/http.ts",
  "proto/program/log.ts",
  // A parser from text to values; only the package makes it a shell.
  "controlplane/source/manifests/elaborate-yaml.ts",
]);

/** What only tests use: they may do anything, and nothing else may import them. */
export const testSupport: readonly RegExp[] = [
  /\.test\.ts$/,
  /\.bench\.ts$/,
  /\/(testing|stress)\//,
  /^nodeagent\/dataplane\/conformance\.ts$/,
  /^controlplane\/running-pipeline\.ts$/,
  /^cli\/run-weft\.ts$/,
  /\/(test|testing|scripted|fake|made)-[^/]+\.ts$/,
  /-samples\.ts$/,
];

/** Files of more than 400 lines (tests: 600), with why they are not split. */
export const longFiles: Readonly<Record<string, string>> = {};
