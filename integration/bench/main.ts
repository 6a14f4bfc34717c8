/** `npm run bench`: what Weft costs and reaches on this machine, beside others in the same run. */
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { benches } from "./benches.ts";
import type { Bench } from "./bench.ts";
import { thisMachine } from "./machine.ts";
import { printBench, printMachine } from "./report.ts";
import type { BenchReport, Report } from "./report.ts";
import { runBench } from "./run-bench.ts";

const latest = path.join(import.meta.dirname, "../../.weft/bench/latest.json");

const usage = `Usage: npm run bench [-- NAME… OPTION…]

Measures Weft beside peers in the same run. Without a NAME: all that are quick (5 minutes together).

${benches.map(({ name, title, isLong }) => `  ${name.padEnd(12)} ${title}${isLong === true ? " (with --full, or when named)" : ""}`).join("\n")}

  --full        more of everything, and the long ones
  --peer NAME   also beside a peer that takes long: kube-proxy
  --json FILE   the results for machines; they are always in .weft/bench/latest.json
  --help        this text

Exits 0 when everything ran, also where a goal is missed; 1 when something could not run; 2 for arguments it does not know.
`;

interface Options {
  readonly chosen: readonly Bench[];
  readonly isFull: boolean;
  readonly peer: string | undefined;
  readonly json: string | undefined;
}

process.exit(await main());

async function main(): Promise<number> {
  const options = parseOptions();
  if (typeof options === "number") return options;
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => interrupted.abort(signal));
  // Nobody reads on (`| head`): end as after Ctrl-C.
  process.stdout.on("error", () => interrupted.abort("output closed"));

  const machine = thisMachine();
  const startedAt = new Date().toISOString();
  process.stdout.write(`${printMachine(machine)}\n`);
  const done: BenchReport[] = [];
  for (const bench of options.chosen) {
    const report = await runBench(bench, { ...options, say, signal: interrupted.signal });
    if (interrupted.signal.aborted) {
      process.stderr.write(`${String(interrupted.signal.reason)}: ended, nothing is left behind\n`);
      return 1;
    }
    process.stdout.write(`\n${printBench(report)}\n`);
    done.push(report);
    write({ format: 1, startedAt, isFull: options.isFull, machine, benches: done }, [latest, options.json]);
  }
  return done.some(({ error }) => error !== undefined) ? 1 : 0;
}

function parseOptions(): Options | number {
  const flag = { type: "boolean", default: false } as const;
  const text = { type: "string" } as const;
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { full: flag, peer: text, json: text, help: flag },
    });
    if (values.help) {
      process.stdout.write(usage);
      return 0;
    }
    const unknown = positionals.find((name) => benches.every((bench) => bench.name !== name));
    if (unknown !== undefined) throw new Error(`there is no bench ${unknown}`);
    const isChosen = ({ name, isLong }: Bench): boolean =>
      positionals.length > 0 ? positionals.includes(name) : values.full || isLong !== true;
    return { chosen: benches.filter(isChosen), isFull: values.full, peer: values.peer, json: values.json };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 2;
  }
}

function say(progress: string): void {
  process.stderr.write(`${progress}\n`);
}

function write(report: Report, files: readonly (string | undefined)[]): void {
  for (const file of files) {
    if (file === undefined) continue;
    fs.mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
    fs.writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
  }
}
