/**
 * Program: a client in a pod or on a node. Opens exchanges as it is told on stdin and says on stdout what answered (client-messages.ts).
 * Ends when its stdin does.
 */
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import readline from "node:readline";
import type { BackendAnswers, ClientCommand, ClientMessage, ClientTarget, TargetReport } from "./client-messages.ts";
import { ExchangeError, UnconnectedUdp, exchangeConnectedUdp, exchangeTcp } from "./exchange.ts";
import type { Answer } from "./exchange.ts";
import { holdSocket } from "./held-socket.ts";
import type { HeldSocket } from "./held-socket.ts";

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
const held = new Map<number, HeldSocket>();
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
      void sayOutcome(command.id, hold(command));
      break;
    case "use":
      void sayOutcome(command.id, use(command));
      break;
    case "release":
      for (const socket of held.values()) socket.close();
      held.clear();
      break;
    case "bind":
      void sayOutcome(command.id, bind(command));
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
      const code = codeOf(error);
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
      return exchangeTcp(target, timeoutMs);
    case "udp-connected":
      return exchangeConnectedUdp(target, timeoutMs);
    case "udp":
      return udpSocketOf(target).exchange(target.address, target.port, timeoutMs);
  }
}

function udpSocketOf(target: ClientTarget): UnconnectedUdp {
  const known = udpSockets.get(target.name);
  if (known !== undefined) return known;
  const fresh = new UnconnectedUdp(net.isIPv6(target.address) ? 6 : 4, target.source);
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
      outcomes.push(`!${codeOf(error)}`);
    }
    udpSockets.get(target.name)?.close();
    udpSockets.delete(target.name);
  }
  say({ kind: "probed", id: command.id, outcomes });
}

async function hold({ id, target, timeoutMs }: ClientCommand & { kind: "hold" }): Promise<string> {
  const { socket, outcome } = await holdSocket(target, timeoutMs);
  held.set(id, socket);
  return outcome;
}

async function use({ id, timeoutMs }: ClientCommand & { kind: "use" }): Promise<string> {
  const socket = held.get(id);
  if (socket === undefined) throw new ExchangeError("not connected");
  return socket.use(timeoutMs);
}

async function bind({ protocol, address, port }: ClientCommand & { kind: "bind" }): Promise<string> {
  if (protocol === "tcp") {
    const server = net.createServer().listen({ host: address, port });
    await once(server, "listening");
    server.close();
  } else {
    const socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
    socket.bind(port, address);
    await once(socket, "listening");
    socket.close();
  }
  return "bound";
}

async function sayOutcome(id: number, outcome: Promise<string>): Promise<void> {
  try {
    say({ kind: "held", id, outcome: await outcome });
  } catch (error) {
    say({ kind: "held", id, outcome: `!${codeOf(error)}` });
  }
}

function codeOf(error: unknown): string {
  if (error instanceof ExchangeError) return error.code;
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
