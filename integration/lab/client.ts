/**
 * Program: a client in a pod. Opens exchanges as it is told on stdin and says on stdout what answered (client-messages.ts).
 * Ends when its stdin does.
 */
import net from "node:net";
import readline from "node:readline";
import type { BackendAnswers, ClientCommand, ClientMessage, ClientTarget, TargetReport } from "./client-messages.ts";
import { ExchangeError, UnconnectedUdp, exchangeConnectedUdp, exchangeTcp } from "./exchange.ts";
import type { Answer } from "./exchange.ts";

const exchangeTimeoutMs = 5_000;
/** Exchanges open at once; what is due beyond that is counted as skipped. */
const openMax = 512;
const tickMs = 10;
const regressionsMax = 8;

interface Tally {
  made: number;
  failed: number;
  readonly errors: Record<string, number>;
  readonly answers: Record<string, { count: number; firstMs: number; lastMs: number }>;
}

// One unconnected socket per target for the life of the client: its backend must be kept and re-steered by the kernel.
const udpSockets = new Map<string, UnconnectedUdp>();
const held = new Map<number, net.Socket>();
let traffic: { readonly stop: () => void } | undefined;
let generationSeen = 0;

for await (const line of readline.createInterface({ input: sayReady() })) {
  const command = JSON.parse(line) as ClientCommand;
  switch (command.kind) {
    case "traffic":
      traffic?.stop();
      traffic = runTraffic(command);
      break;
    case "probe":
      void probe(command);
      break;
    case "hold":
      hold(command);
      break;
    case "use":
      use(command);
      break;
  }
}
process.exit(0);

function sayReady(): NodeJS.ReadStream {
  say({ kind: "ready" });
  return process.stdin;
}

function say(message: ClientMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function runTraffic(command: ClientCommand & { kind: "traffic" }): { readonly stop: () => void } {
  let tallies = new Map<string, Tally>();
  let regressions: string[] = [];
  let skipped = 0;
  let open = 0;
  let next = 0;
  let fromMs = Date.now();
  const startedMs = performance.now();

  const one = async (target: ClientTarget): Promise<void> => {
    const beganMs = Date.now();
    const seenBefore = generationSeen;
    const tally = (): Tally => tallyOf(tallies, target.name);
    open++;
    try {
      const answer = await exchange(target, exchangeTimeoutMs);
      tally().made++;
      noteAnswer(tally(), answer, beganMs);
      if (target.isOrdered !== true) return;
      if (answer.port < seenBefore && regressions.length < regressionsMax) {
        regressions.push(`${target.name}: generation ${answer.port} (${answer.pod}) after ${seenBefore} was seen`);
      }
      generationSeen = Math.max(generationSeen, answer.port);
    } catch (error) {
      const code = error instanceof ExchangeError ? error.code : String(error);
      const { errors } = tally();
      tally().failed++;
      errors[code] = (errors[code] ?? 0) + 1;
    } finally {
      open--;
    }
  };

  // What is due at one tick goes one after the other: neighbours among the targets are compared within a millisecond.
  const chain = async (targets: readonly ClientTarget[]): Promise<void> => {
    for (const target of targets) await one(target);
  };
  const ticker = setInterval(() => {
    const due = Math.floor(((performance.now() - startedMs) * command.perSecond) / 1_000);
    const targets: ClientTarget[] = [];
    for (; next < due; next++) {
      const target = command.targets[next % command.targets.length];
      if (target === undefined || open + targets.length >= openMax) skipped++;
      else targets.push(target);
    }
    void chain(targets);
  }, tickMs);
  const reporter = setInterval(() => {
    const toMs = Date.now();
    const targets = Object.fromEntries(tallies) as Record<string, TargetReport>;
    say({ kind: "report", fromMs, toMs, targets, skipped, regressions });
    [tallies, regressions, skipped, fromMs] = [new Map(), [], 0, toMs];
  }, command.reportMs);
  return {
    stop: () => {
      clearInterval(ticker);
      clearInterval(reporter);
    },
  };
}

function tallyOf(tallies: Map<string, Tally>, target: string): Tally {
  const known = tallies.get(target);
  if (known !== undefined) return known;
  const fresh: Tally = { made: 0, failed: 0, errors: {}, answers: {} };
  tallies.set(target, fresh);
  return fresh;
}

function noteAnswer(tally: Tally, answer: Answer, beganMs: number): void {
  const key = `${answer.pod} ${answer.port}`;
  const known: BackendAnswers = tally.answers[key] ?? { count: 0, firstMs: beganMs, lastMs: beganMs };
  tally.answers[key] = {
    count: known.count + 1,
    firstMs: Math.min(known.firstMs, beganMs),
    lastMs: Math.max(known.lastMs, beganMs),
  };
}

function exchange(target: ClientTarget, timeoutMs: number): Promise<Answer> {
  switch (target.transport) {
    case "tcp":
      return exchangeTcp(target.address, target.port, timeoutMs);
    case "udp-connected":
      return exchangeConnectedUdp(target.address, target.port, timeoutMs);
    case "udp":
      return udpSocketOf(target).exchange(target.address, target.port, timeoutMs);
  }
}

function udpSocketOf(target: ClientTarget): UnconnectedUdp {
  const known = udpSockets.get(target.name);
  if (known !== undefined) return known;
  const fresh = new UnconnectedUdp(net.isIPv6(target.address) ? 6 : 4);
  udpSockets.set(target.name, fresh);
  return fresh;
}

async function probe(command: ClientCommand & { kind: "probe" }): Promise<void> {
  const outcomes: string[] = [];
  // A fresh unconnected socket for each attempt: a socket keeps its backend.
  for (let attempt = 0; attempt < command.attempts; attempt++) {
    const target = { ...command.target, name: `probe ${command.id} ${attempt}` };
    try {
      const answer = await exchange(target, command.timeoutMs);
      outcomes.push(`${answer.pod} ${answer.port}`);
    } catch (error) {
      outcomes.push(`!${error instanceof ExchangeError ? error.code : String(error)}`);
    }
    udpSockets.get(target.name)?.close();
    udpSockets.delete(target.name);
  }
  say({ kind: "probed", id: command.id, outcomes });
}

function hold(command: ClientCommand & { kind: "hold" }): void {
  const socket = net.connect({ host: command.address, port: command.port });
  held.set(command.id, socket);
  socket.setEncoding("latin1");
  socket.on("error", (error: NodeJS.ErrnoException) => socket.emit("outcome", `!${error.code ?? error.message}`));
  socket.once("end", () => socket.emit("outcome", "!closed by the other side"));
  sayOutcome(socket, command.id);
}

function use(command: ClientCommand & { kind: "use" }): void {
  const socket = held.get(command.id);
  if (socket === undefined || socket.destroyed) {
    say({ kind: "held", id: command.id, outcome: "!not connected" });
    return;
  }
  sayOutcome(socket, command.id);
  socket.write("still there?\n");
}

function sayOutcome(socket: net.Socket, id: number): void {
  const settle = (text: string): void => {
    socket.off("data", settle);
    socket.off("outcome", settle);
    say({ kind: "held", id, outcome: text.trimEnd() });
  };
  socket.on("data", settle);
  socket.on("outcome", settle);
}
