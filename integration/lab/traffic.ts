/** A client process of a lab as its owner sees it: what it is told, and what it reported so far, added up. */
import type { BackendAnswers, ClientMessage, ClientTarget, TargetReport } from "./client-messages.ts";
import type { LabProcess } from "./lab-process.ts";

const answerWaitMs = 30_000;

/** What was reported, added up. */
export interface TrafficTotal {
  readonly made: number;
  readonly failed: number;
  readonly skipped: number;
  /** By "target: error". */
  readonly errors: ReadonlyMap<string, number>;
  /** By target, then by "pod port". */
  readonly answers: ReadonlyMap<string, ReadonlyMap<string, BackendAnswers>>;
  readonly regressions: readonly string[];
  readonly reports: number;
}

export class TrafficClient {
  readonly process: LabProcess;
  readonly #pending = new Map<number, (message: ClientMessage) => void>();
  #next = 0;
  #total = emptyTotal();
  #recent = emptyTotal();
  #onReport: Array<() => void> = [];

  constructor(process: LabProcess) {
    this.process = process;
    process.onLine((line) => this.#hear(JSON.parse(line) as ClientMessage));
  }

  /** Since the client started. */
  get total(): TrafficTotal {
    return this.#total;
  }

  /** Since the last `forgetRecent`. */
  get recent(): TrafficTotal {
    return this.#recent;
  }

  /** Starts or replaces the traffic; no targets: silence. */
  send(targets: readonly ClientTarget[], perSecond: number, reportMs = 200): void {
    this.process.send({ kind: "traffic", targets, perSecond, reportMs });
  }

  forgetRecent(): void {
    this.#recent = emptyTotal();
  }

  /** Resolves at the end of the first whole interval that began after now. */
  async nextReport(): Promise<void> {
    await this.#report();
    await this.#report();
  }

  /** Outcomes of so many exchanges: "pod port", or "!" and an error. */
  async probe(target: ClientTarget, attempts: number, timeoutMs = 5_000): Promise<readonly string[]> {
    const answer = await this.#ask({ kind: "probe", target, attempts, timeoutMs });
    return answer.kind === "probed" ? answer.outcomes : [];
  }

  /** A socket that stays: answers its number and "pod port", or "!" and an error. Over TCP: to an echo port. */
  async hold(target: ClientTarget, timeoutMs = 5_000): Promise<{ readonly id: number; readonly outcome: string }> {
    const answer = await this.#ask({ kind: "hold", target, timeoutMs });
    return answer.kind === "held" ? answer : { id: 0, outcome: "!no answer" };
  }

  /** One more exchange on a held socket: what came back, or "!" and an error. */
  async use(id: number, timeoutMs = 5_000): Promise<string> {
    const answer = await this.#ask({ kind: "use", timeoutMs }, id);
    return answer.kind === "held" ? answer.outcome : "!no answer";
  }

  /** Closes all sockets that stay. */
  release(): void {
    this.process.send({ kind: "release" });
  }

  /** Tries to listen there: "bound", or "!" and an error. */
  async bind(protocol: "tcp" | "udp", address: string, port: number): Promise<string> {
    const answer = await this.#ask({ kind: "bind", protocol, address, port });
    return answer.kind === "held" ? answer.outcome : "!no answer";
  }

  async #report(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onReport.push(resolve);
    await this.#orEnd(promise);
  }

  async #ask(command: object, of?: number): Promise<ClientMessage> {
    const id = of ?? ++this.#next;
    const { promise, resolve } = Promise.withResolvers<ClientMessage>();
    this.#pending.set(id, resolve);
    this.process.send({ ...command, id });
    return this.#orEnd(promise);
  }

  async #orEnd<T>(promise: Promise<T>): Promise<T> {
    const ended = this.process.ended.then(() => {
      throw new Error(`${this.process.name} ended: ${this.process.logTail()}`);
    });
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.process.name}: silent for ${answerWaitMs} ms`)), answerWaitMs);
    });
    try {
      return await Promise.race([promise, ended, tooLong]);
    } finally {
      clearTimeout(timer);
    }
  }

  #hear(message: ClientMessage): void {
    switch (message.kind) {
      case "ready":
        return;
      case "report": {
        this.#total = addReport(this.#total, message);
        this.#recent = addReport(this.#recent, message);
        const waiting = this.#onReport;
        this.#onReport = [];
        for (const resolve of waiting) resolve();
        return;
      }
      case "probed":
      case "held":
        this.#pending.get(message.id)?.(message);
        this.#pending.delete(message.id);
        return;
    }
  }
}

/** @internal Exported for its test. */
export function addReport(total: TrafficTotal, report: ClientMessage & { kind: "report" }): TrafficTotal {
  const errors = new Map(total.errors);
  const answers = new Map(total.answers);
  let { made, failed } = total;
  for (const [target, of] of Object.entries(report.targets)) {
    made += of.made;
    failed += of.failed;
    for (const [code, count] of Object.entries(of.errors)) {
      errors.set(`${target}: ${code}`, (errors.get(`${target}: ${code}`) ?? 0) + count);
    }
    answers.set(target, addAnswers(answers.get(target), of));
  }
  return {
    made,
    failed,
    errors,
    answers,
    skipped: total.skipped + report.skipped,
    regressions: [...total.regressions, ...report.regressions],
    reports: total.reports + 1,
  };
}

function addAnswers(
  before: ReadonlyMap<string, BackendAnswers> | undefined,
  report: TargetReport,
): ReadonlyMap<string, BackendAnswers> {
  const sum = new Map(before);
  for (const [backend, answers] of Object.entries(report.answers)) {
    const known = sum.get(backend);
    sum.set(backend, {
      count: answers.count + (known?.count ?? 0),
      firstMs: Math.min(answers.firstMs, known?.firstMs ?? answers.firstMs),
      lastMs: Math.max(answers.lastMs, known?.lastMs ?? answers.lastMs),
    });
  }
  return sum;
}

export function emptyTotal(): TrafficTotal {
  return { made: 0, failed: 0, skipped: 0, errors: new Map(), answers: new Map(), regressions: [], reports: 0 };
}
