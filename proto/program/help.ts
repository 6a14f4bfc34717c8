/** Texts of --help, at most 100 columns. */
import type { Command, Commands, Program } from "./command.ts";
import { flagName, variableName } from "./flags.ts";
import type { Flag, Flags } from "./flags.ts";

const widthMax = 100;
const indent = "      ";

export function commandHelp(command: Command<Flags>): string {
  const flags = Object.entries(command.flags);
  const required = flags
    .filter(([, flag]) => flag.isRequired)
    .map(([key, flag]) => `${flagName(key)} ${flag.valueName}`);
  const operand = command.operand === undefined ? "" : `[${command.flags[command.operand]?.valueName ?? ""}]`;
  const usage = [command.name, operand, ...required, flags.length > required.length ? "[flags]" : ""].filter(
    (part) => part !== "",
  );
  const lines = [command.summary, "", "Usage:", `  ${usage.join(" ")}`];
  if (command.details !== undefined) lines.push("", command.details);
  if (flags.length > 0) lines.push("", "Flags (each is also read from its variable; a flag wins):");
  for (const [key, flag] of flags) lines.push(...flagHelp(key, flag));
  lines.push("  -h, --help", `${indent}This text.`, "  --version", `${indent}The version.`);
  if (command.examples.length > 0) lines.push("", "Examples:", ...command.examples.map((example) => `  ${example}`));
  return `${lines.join("\n")}\n`;
}

export function programHelp(program: Program<Commands>): string {
  const names = Object.keys(program.commands);
  const width = Math.max(...names.map((name) => name.length));
  const lines = [program.summary, "", "Usage:", `  ${program.name} COMMAND [flags]`, "", "Commands:"];
  for (const name of names) lines.push(`  ${name.padEnd(width)}  ${program.commands[name]?.summary ?? ""}`);
  lines.push("", `${program.name} COMMAND --help tells more about one command.`);
  return `${lines.join("\n")}\n`;
}

function flagHelp(key: string, flag: Flag<unknown>): readonly string[] {
  const short = flag.short === undefined ? "" : `-${flag.short}, `;
  const value = flag.arity === "switch" ? "" : ` ${flag.valueName}`;
  const facts: string[] = [];
  if (flag.isRequired) facts.push("required");
  if (flag.arity === "list") facts.push(flag.isCommaSeparated ? "repeatable or comma-separated" : "repeatable");
  if (flag.shownDefault !== "") facts.push(`default ${flag.shownDefault}`);
  facts.push(variableName(key));
  return [`  ${short}${flagName(key)}${value}`, ...wrap(`${flag.help} [${facts.join("; ")}]`)];
}

function wrap(text: string): readonly string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line.length + word.length > widthMax && line !== indent) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
