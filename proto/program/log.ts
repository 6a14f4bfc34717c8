/**
 * Logs: one line per event on stderr, since stdout carries only what is specified. Secrets and payloads are never fields.
 * Callers limit the rate of messages that repeat.
 */
import { choice } from "./flags.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ["text", "json"] as const;
export type LogFormat = (typeof logFormats)[number];

/** Printed with String; undefined is left out. An Error is printed as its message. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds these fields to every line. */
  with(fields: LogFields): Log;
}

/** Flags of every long-running program; `createLog(values)` takes them. */
export const logFlags = {
  logLevel: choice({ choices: logLevels, default: "info", help: "Least important messages to write to stderr." }),
  logFormat: choice({ choices: logFormats, default: "text", help: "Form of log lines." }),
} as const;

export interface LogOptions {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Default: stderr. Gets whole lines. */
  readonly write?: (line: string) => void;
  /** Default: the clock. */
  readonly now?: () => Date;
}

export function createLog(options: LogOptions): Log {
  const write = options.write ?? ((line) => void process.stderr.write(line));
  const now = options.now ?? (() => new Date());
  const print = options.logFormat === "json" ? printJson : printText;
  return makeLog({}, logLevels.indexOf(options.logLevel), (level, message, fields) =>
    write(`${print(now(), level, message, fields)}\n`),
  );
}

/** For callers that must stay silent. */
export const silentLog: Log = makeLog({}, logLevels.length, () => undefined);

function makeLog(
  bound: LogFields,
  least: number,
  line: (level: LogLevel, message: string, fields: LogFields) => void,
): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (logLevels.indexOf(level) >= least) line(level, message, { ...bound, ...fields });
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => makeLog({ ...bound, ...fields }, least, line),
  };
}

function printText(at: Date, level: LogLevel, message: string, fields: LogFields): string {
  let line = `${at.toISOString()} ${level} ${oneLine(message)}`;
  for (const [key, value] of Object.entries(fields))
    if (value !== undefined) line += ` ${key}=${quoted(printed(value))}`;
  return line;
}

function printJson(at: Date, level: LogLevel, message: string, fields: LogFields): string {
  const named: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined)
      named[key] = typeof value === "number" || typeof value === "boolean" ? value : printed(value);
  }
  return JSON.stringify({ ...named, time: at.toISOString(), level, message });
}

function printed(value: unknown): string {
  if (value instanceof Error) return value.message;
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

function quoted(text: string): string {
  return text === "" || /[\s"=\p{Cc}]/u.test(text) ? JSON.stringify(text) : text;
}

function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}]+/gu, " ");
}
