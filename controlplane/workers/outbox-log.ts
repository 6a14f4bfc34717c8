/** A worker's log: its lines are written by the main thread. */
import { logLevels } from "@weft/proto/program/log.ts";
import type { Log, LogFields, LogLevel } from "@weft/proto/program/log.ts";
import type { Outbox } from "./outbox.ts";

/** `least`: what is less important is not even told. */
export function outboxLog(outbox: Outbox, least: LogLevel, bound: LogFields): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (logLevels.indexOf(level) < logLevels.indexOf(least)) return;
      outbox.put({ kind: "log", level, message, fields: { ...fields, ...bound } });
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => outboxLog(outbox, least, { ...bound, ...fields }),
  };
}
