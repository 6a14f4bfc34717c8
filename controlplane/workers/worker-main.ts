/** A worker thread: listens for agents, and serves them. */
import { parentPort, workerData } from "node:worker_threads";
import { listenGrpc } from "@weft/proto/grpc/listener.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { watchEventLoopDelay } from "@weft/proto/program/event-loop-delay.ts";
import { identifierOf } from "../fanout/call-identity.ts";
import { addDiscoveryService } from "../fanout/discovery-service.ts";
import { createGrpcServer } from "../fanout/grpc-server.ts";
import { ForwardingService } from "./forwarding-service.ts";
import { WorkerFanout } from "./worker-fanout.ts";
import type { ToWorker, WorkerStart } from "./worker-messages.ts";

const port = parentPort;
if (port === null) throw new Error("worker-main.ts is started by the control plane only");
const start = workerData as WorkerStart;
const { limits, security } = start;

const worker = new WorkerFanout(start, (batch) => port.postMessage(batch));
const identify = identifierOf(security);
const calls = new ForwardingService(worker.outbox, identify.call);
const drained = new AbortController();

async function serve(): Promise<void> {
  const server = createGrpcServer(limits.stream);
  const front = addDiscoveryService(server, {
    fanout: worker.streams,
    limits: limits.stream,
    identify,
    ...(limits.credit && { creditLimits: limits.credit }),
  });
  calls.addTo(server);
  const { signal } = drained;
  const refused = (reason: string): void => worker.counts.metrics.connectionsRefused.with(reason).inc();
  await using listener = await listenGrpc(server, start.listen, security, {
    log: worker.log,
    signal,
    refused,
    front,
    isShared: true,
    ...start.listener,
  });
  worker.outbox.put({ kind: "listening", address: listener.address });
  await worker.run(signal);
}

port.on("message", (message: ToWorker) => {
  if (message.kind === "call-message" || message.kind === "call-end" || message.kind === "call-failed")
    calls.take(message);
  else if (message.kind === "drain") drained.abort();
  else worker.take(message);
});
watchEventLoopDelay((seconds) => worker.late(seconds));
const told = worker.telling();
try {
  await serve();
} catch (error) {
  if (!(error instanceof ProgramError)) throw error;
  const { code, message, remedy } = error;
  worker.outbox.put({ kind: "not-listening", code, message, remedy });
}
told();
port.close();
