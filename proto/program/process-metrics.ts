/** Metrics of this process, by the names that Prometheus clients agree on. */
import { performance } from "node:perf_hooks";
import type { Metrics } from "./metrics.ts";
import { version } from "./version.ts";

export function addProcessMetrics(metrics: Metrics, program: string): void {
  const startSeconds = Date.now() / 1_000 - process.uptime();
  const seconds = (us: number): number => us / 1e6;
  metrics.observed("gauge", { name: "weft_build_info", help: "Version of the program; always 1." }, () => [
    { labels: { program, version, node: process.versions.node }, value: 1 },
  ]);
  metrics.observed("counter", { name: "process_cpu_seconds_total", help: "User and system CPU time, seconds." }, () =>
    seconds(process.cpuUsage().user + process.cpuUsage().system),
  );
  metrics.observed("gauge", { name: "process_resident_memory_bytes", help: "Resident memory, bytes." }, () =>
    process.memoryUsage.rss(),
  );
  metrics.observed(
    "gauge",
    { name: "nodejs_heap_size_used_bytes", help: "JavaScript objects, bytes." },
    () => process.memoryUsage().heapUsed,
  );
  metrics.observed(
    "gauge",
    { name: "nodejs_heap_size_total_bytes", help: "Reserved for JavaScript objects, bytes." },
    () => process.memoryUsage().heapTotal,
  );
  metrics.observed(
    "gauge",
    { name: "nodejs_external_memory_bytes", help: "Buffers and what else objects stand for, bytes." },
    () => process.memoryUsage().external,
  );
  metrics.observed(
    "gauge",
    { name: "process_start_time_seconds", help: "Start of the process, unix seconds." },
    () => startSeconds,
  );
  metrics.observed(
    "counter",
    { name: "nodejs_eventloop_busy_seconds_total", help: "Time in which the event loop was not idle, seconds." },
    () => performance.eventLoopUtilization().active / 1_000,
  );
}
