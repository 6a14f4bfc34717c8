/** The program weft-agent. stdout carries only what is specified; logs go to stderr. */
import { exitCodes } from "@weft/proto/program/exit.ts";
import type { ExitCode } from "@weft/proto/program/exit.ts";
import type { Values } from "@weft/proto/program/flags.ts";
import { createLog } from "@weft/proto/program/log.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { answerNotRun, runMain } from "@weft/proto/program/main.ts";
import { parseProgram } from "@weft/proto/program/parse.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import { writeLines, writeOut } from "@weft/proto/program/stdout.ts";
import type { Tracing } from "@weft/proto/telemetry/open-tracing.ts";
import { tracesUrl } from "@weft/proto/telemetry/tracing-flags.ts";
import { program } from "./commands.ts";
import type { Dataplane } from "./dataplane/dataplane.ts";
import { planLines } from "./plan/plan-line.ts";
import type { OpenStream } from "./runtime/discovery-stream.ts";

type RunValues = Values<typeof program.commands.run.flags>;
type DumpValues = Values<typeof program.commands.dump.flags>;

runMain(program.name, main);

// What a command does not need is not loaded: a memory agent runs without libbpf, `dump` without gRPC.
async function main(signal: AbortSignal): Promise<ExitCode> {
  const parsed = parseProgram(program, process.argv.slice(2), process.env);
  if (parsed.kind !== "run") return answerNotRun(program.name, parsed);
  switch (parsed.command) {
    case "run":
      await run(parsed.values, signal);
      return exitCodes.ok;
    case "dump":
      await dump(parsed.values);
      return exitCodes.ok;
    case "cleanup": {
      const { cleanupPinned } = await import("./dataplane/kernel/cleanup-pinned.ts");
      // A folder that was mistyped must not pass for one that was cleaned.
      if (cleanupPinned(parsed.values).length === 0) {
        process.stderr.write(`weft-agent: --bpffs ${parsed.values.bpffs}: no agent left anything there\n`);
      }
      return exitCodes.ok;
    }
  }
}

async function run(values: RunValues, signal: AbortSignal): Promise<void> {
  const [
    { listenHttp },
    { Metrics },
    { addProcessMetrics },
    { printHostPort },
    { readTlsFiles },
    { clientSecurity, clientTlsFiles },
    { Agent },
    { agentRoutes, metricsRoutes },
    { defaultSyncLimits },
  ] = await Promise.all([
    import("@weft/proto/program/http.ts"),
    import("@weft/proto/program/metrics.ts"),
    import("@weft/proto/program/process-metrics.ts"),
    import("@weft/proto/program/socket-address.ts"),
    import("@weft/proto/program/tls-files.ts"),
    import("@weft/proto/program/tls-flags.ts"),
    import("./runtime/agent.ts"),
    import("./runtime/agent-http.ts"),
    import("./sync/sync-state.ts"),
  ]);
  const log = createLog(values);
  const metrics = new Metrics();
  addProcessMetrics(metrics, program.name);
  const security = clientSecurity(values);
  const tlsFiles = clientTlsFiles(security);
  // Read again by what dials: what is wrong with them is said before anything is served.
  if (tlsFiles !== undefined) readTlsFiles(tlsFiles);
  let dial: OpenStream | undefined;
  const loadStreams = async (): Promise<void> => {
    const [{ clientCredentials }, { dialer }] = await Promise.all([
      import("@weft/proto/program/credentials.ts"),
      import("./runtime/discovery-stream.ts"),
    ]);
    const address = printHostPort(values.controlplane);
    dial = dialer({ address, ...clientCredentials(security, { log, signal }) });
  };
  const openStream: OpenStream = (events) => {
    if (dial === undefined) throw new Error("a stream is opened before its code is loaded");
    return dial(events);
  };
  await using tracing = await createTracing(values, log, metrics);
  await using dataplane = await createDataplane(values, log);
  const agent = await Agent.open({
    node: values.node,
    stateFolder: values.state,
    dataplane,
    dataplaneKind: values.dataplane,
    openStream,
    loadStreams,
    addresses: values.nodeAddresses.length === 0 ? undefined : values.nodeAddresses,
    addressingFlags: values,
    auditIntervalMs: values.auditInterval,
    limits: { ...defaultSyncLimits, massRemovalPercent: values.massRemovalThreshold },
    log,
    metrics,
    spans: tracing,
  });
  await using http =
    values.http === undefined ? undefined : await listenHttp(values.http, agentRoutes(agent, metrics), log);
  await using healthz =
    values.healthz === undefined ? undefined : await listenHttp(values.healthz, agent.health.routes(), log);
  await using scraped =
    values.metrics === undefined ? undefined : await listenHttp(values.metrics, metricsRoutes(metrics), log);
  const bound = Object.entries({ http, healthz, metrics: scraped });
  const places = bound.map(([name, server]) => (server === undefined ? "" : ` ${name}=${server.address}`)).join("");
  await agent.run(signal, () => {
    process.stdout.write(`ready node=${values.node}${places}\n`);
  });
  log.info("ended; what is live stays live", { signal: String(signal.reason) });
}

// Undefined: no traces are wanted, and nothing that exports them is loaded.
async function createTracing(values: RunValues, log: Log, metrics: Metrics): Promise<Tracing | undefined> {
  const url = tracesUrl(values, process.env);
  if (url === undefined) return undefined;
  const { openTracing } = await import("@weft/proto/telemetry/open-tracing.ts");
  const resource = { "service.name": program.name, "service.instance.id": values.node, "k8s.node.name": values.node };
  return openTracing({ url, resource, log, metrics });
}

async function createDataplane(values: RunValues, log: Log): Promise<Dataplane> {
  const limits = { frontends: values.frontendsMax, backends: values.backendsMax, services: values.servicesMax };
  if (values.dataplane === "memory") {
    const { MemoryDataplane } = await import("./dataplane/memory/memory-dataplane.ts");
    return new MemoryDataplane(limits);
  }
  const { openKernelDataplane } = await import("./dataplane/kernel/kernel-dataplane.ts");
  return openKernelDataplane({ bpffs: values.bpffs, cgroup: values.cgroup, limits, log });
}

async function dump(values: DumpValues): Promise<void> {
  if (values.http !== undefined) {
    const { fetchDump } = await import("./runtime/fetch-dump.ts");
    await writeOut(await fetchDump(values.http));
    return;
  }
  const { dumpPinned } = await import("./dataplane/kernel/dump-pinned.ts");
  await writeLines(planLines(dumpPinned(values.bpffs)));
}
