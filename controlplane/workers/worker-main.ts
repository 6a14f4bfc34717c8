/** A worker thread: listens for agents, and serves them from its own catalog over the bytes that all workers share. */
import { setInterval } from "node:timers";
import { parentPort, workerData } from "node:worker_threads";
import { listenGrpc } from "@weft/proto/grpc/listener.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { Catalog } from "../catalog/catalog.ts";
import { identifierOf } from "../fanout/call-identity.ts";
import { addDiscoveryService } from "../fanout/discovery-service.ts";
import { Fanout } from "../fanout/fanout.ts";
import { createGrpcServer } from "../fanout/grpc-server.ts";
import { ClaimingStreams, NodeGrants } from "./claiming-streams.ts";
import { ForwardingService } from "./forwarding-service.ts";
import { outboxLog } from "./outbox-log.ts";
import { OutboxFleet } from "./outbox-fleet.ts";
import { Outbox } from "./outbox.ts";
import { moveResources, readSharedCommit } from "./shared-commit.ts";
import { WorkerCounts } from "./worker-counts.ts";
import type { ToWorker, WorkerStart } from "./worker-messages.ts";

/** How often sizes and counts are told: the main thread takes a worker that is silent for long for stuck. */
const tellMs = 250;
/** How often a flush that is not over is told: the next commit may wait for it. */
const flushTellMs = 25;

const port = parentPort;
if (port === null) throw new Error("worker-main.ts is started by the control plane only");
const start = workerData as WorkerStart;
const { limits, version, security } = start;
const now = (): number => performance.timeOrigin + performance.now();

const outbox = new Outbox((batch) => port.postMessage(batch), start.renames);
const log = outboxLog(outbox, start.logLevel, { worker: start.worker });
const counts = new WorkerCounts();
const fleet = new OutboxFleet(outbox);
const catalog = new Catalog(start.epoch, limits.catalog);
const grants = new NodeGrants();
let isRemovalConfirmed = start.isRemovalConfirmed;
let trace: Extract<ToWorker, { kind: "commit" }>["trace"];

const fanout = new Fanout({
  catalog,
  historyKind: start.historyKind,
  fleet,
  log,
  metrics: counts.metrics,
  version,
  streamLimits: limits.stream,
  fanoutLimits: limits.fanout,
  transferLimits: limits.transfer,
  now,
  random: Math.random,
  nodeView: (node) => grants.viewOf(node),
  renamed: () => {
    throw new Error("a worker renames no epoch: the main thread decides that");
  },
  massRemoval: limits.massRemoval,
  isRemovalConfirmed: () => isRemovalConfirmed,
  sentElsewhere: (node) => grants.sentBefore(node),
  traceOf: (revision) => (revision === catalog.head ? trace : undefined),
});
const streams = new ClaimingStreams(
  { fanout, fleet, outbox, limits: limits.stream, version, epoch: () => catalog.epoch, now },
  grants,
);
const identify = identifierOf(security);
const calls = new ForwardingService(outbox, identify.call);
const drained = new AbortController();

function take(message: ToWorker): void {
  switch (message.kind) {
    case "commit":
      commit(message);
      return;
    case "moved":
      moveResources(message.places, (id) => catalog.get(id));
      return;
    case "renamed":
      outbox.renamed();
      catalog.rename(message.epoch);
      fanout.epochRenamed();
      return;
    case "views":
      fanout.viewsChanged(grants.viewsChanged(message.views));
      return;
    case "granted":
    case "refused":
    case "later":
      streams.answered(message);
      return;
    case "replace":
      fanout.replaced(message.node, message.by);
      return;
    case "removal":
      isRemovalConfirmed = message.isConfirmed;
      if (isRemovalConfirmed) fanout.removalConfirmed();
      return;
    case "call-message":
    case "call-end":
    case "call-failed":
      calls.take(message);
      return;
    case "drain":
      drained.abort();
  }
}

function commit({ commit: shared, isHead, trace: of }: Extract<ToWorker, { kind: "commit" }>): void {
  const made = readSharedCommit(shared, (id) => catalog.get(id));
  trace = of;
  if (isHead) catalog.start(made);
  else catalog.apply(made);
  const flush = fanout.broadcast();
  const { revision } = made;
  const tellFlush = (isDone: boolean): void =>
    outbox.put({ kind: "flush", revision, elapsedMs: flush.elapsedMs, isDone });
  // Ends with the flush, or with the next commit: nobody waits for this one then.
  const timer = setInterval(() => {
    tellFlush(false);
    if (catalog.head !== revision) clearInterval(timer);
  }, flushTellMs);
  void flush.done.then(() => {
    clearInterval(timer);
    tellFlush(true);
  });
}

function tell(): void {
  grants.keep(fleet.served);
  outbox.put({ kind: "sizes", sizes: fanout.sizes, heldNodes: fanout.heldNodes });
  const counted = counts.take();
  if (counted.length > 0) outbox.put({ kind: "counted", counts: counted });
}

async function serve(): Promise<void> {
  const server = createGrpcServer(limits.stream);
  const front = addDiscoveryService(server, {
    fanout: streams,
    limits: limits.stream,
    identify,
    ...(limits.credit && { creditLimits: limits.credit }),
  });
  calls.addTo(server);
  const { signal } = drained;
  const refused = (reason: string): void => counts.metrics.connectionsRefused.with(reason).inc();
  await using listener = await listenGrpc(server, start.listen, security, {
    log,
    signal,
    refused,
    front,
    isShared: true,
  });
  outbox.put({ kind: "listening", address: listener.address });
  await fanout.run(signal);
}

port.on("message", take);
const telling = setInterval(tell, tellMs);
try {
  await serve();
} catch (error) {
  if (!(error instanceof ProgramError)) throw error;
  const { code, message, remedy } = error;
  outbox.put({ kind: "not-listening", code, message, remedy });
}
clearInterval(telling);
tell();
outbox.flush();
port.close();
